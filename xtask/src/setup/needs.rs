//! What each command needs, how one sees that it is there, and where it comes from.
use crate::layout::Layout;
use std::path::PathBuf;

/// The compiler of the kernel side: Debian's, found by its path because rustup's comes first in `PATH`.
pub const BPF_RUSTC: &str = "/usr/bin/rustc";

/// Where `cargo install` puts bpf-linker, under the cache. Its LLVM must be the one of [`BPF_RUSTC`].
const BPF_LINKER: &str = "bpf-linker-0.13.0-llvm-22";

/// Where Debian's Go has its programs once its packages are unpacked in the cache.
pub const GO_BIN: &str = "go-1.23/usr/lib/go-1.23/bin";

/// The directory of bpf-linker, for `PATH`.
pub fn bpf_linker_dir(layout: &Layout) -> PathBuf {
    layout.cache.join(BPF_LINKER).join("bin")
}

/// What somebody wants to do; each needs what [`Purpose::Build`] needs, and [`Purpose::Test`] everything but the truth rig's toolchains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Compile both sides.
    Build,
    /// Lint both sides.
    Lint,
    /// Boot other kernels.
    Vm,
    /// All of these, and trace real programs.
    Test,
    /// Measure links in programs of every runtime.
    Truth,
}

/// One thing that must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name, and what it is for, in a few words.
    pub what: &'static str,
    /// It is there when any of these holds.
    pub signs: &'static [Sign],
    /// Where it comes from.
    pub source: Source,
}

/// How one sees that something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A program of that name in `PATH` or among the system programs.
    Program(&'static str),
    /// A file at an absolute path.
    File(&'static str),
    /// A file under the cache.
    Cached(&'static str),
    /// A command that succeeds and whose output contains a text.
    Says(&'static [&'static str], &'static str),
}

/// Where something comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Debian packages, installed.
    Debian(&'static [&'static str]),
    /// A Debian package whose service must stay off: the tests start the program themselves.
    Service {
        /// The package.
        package: &'static str,
        /// The systemd unit in it.
        unit: &'static str,
    },
    /// Debian packages of another suite, unpacked under the cache: this machine's own programs stay as they are.
    Unpacked {
        /// The suite.
        suite: &'static str,
        /// The packages.
        packages: &'static [&'static str],
        /// The directory in the cache.
        dir: &'static str,
    },
    /// A component of rustup's toolchain.
    Component(&'static str),
    /// A crate's program, compiled into the cache.
    Crate {
        /// `NAME@VERSION`.
        name: &'static str,
        /// Its features, without the default ones.
        features: &'static str,
        /// Where it finds LLVM.
        llvm: &'static str,
        /// The directory in the cache.
        dir: &'static str,
    },
}

/// A need that Debian's packages meet.
const fn debian(what: &'static str, signs: &'static [Sign], packages: &'static [&'static str]) -> Need {
    Need { what, signs, source: Source::Debian(packages) }
}

/// What compiles both sides. A C linker is not among these: cargo could not have built xtask without one.
const BUILD: &[Need] = &[
    // The release is checked by its LLVM, because bpf-linker reads what this compiler writes.
    debian("rustc-web with LLVM 22 (compiles the kernel side)", &[Sign::Says(&[BPF_RUSTC, "-vV"], "LLVM version: 22.")], &["rustc-web"]),
    debian("rust-web-src (`core` for the kernel side)", &[Sign::File("/usr/lib/rustlib/src/rust/library/Cargo.lock")], &["rust-web-src"]),
    debian("llvm-22-dev (for bpf-linker)", &[Sign::File("/usr/lib/llvm-22/bin/llvm-config")], &["llvm-22-dev"]),
    Need {
        what: "bpf-linker 0.13.0 (links the kernel side; compiling it takes a minute or two)",
        signs: &[Sign::Cached("bpf-linker-0.13.0-llvm-22/bin/bpf-linker")],
        source: Source::Crate { name: "bpf-linker@0.13.0", features: "llvm-22", llvm: "/usr/lib/llvm-22", dir: BPF_LINKER },
    },
];

/// What lints both sides. rustup's minimal profile has neither of the first two.
const LINT: &[Need] = &[
    Need { what: "rustfmt", signs: &[Sign::Says(&["cargo", "fmt", "--version"], "rustfmt")], source: Source::Component("rustfmt") },
    Need { what: "clippy", signs: &[Sign::Says(&["cargo", "clippy", "--version"], "clippy")], source: Source::Component("clippy") },
    debian("rust-web-clippy (lints the kernel side)", &[Sign::File("/usr/bin/clippy-driver")], &["rust-web-clippy"]),
];

/// What boots other kernels.
const VM: &[Need] = &[
    debian("qemu-system-x86 (boots other kernels)", &[Sign::Program("qemu-system-x86_64")], &["qemu-system-x86"]),
    debian("busybox-static (user space of those kernels)", &[Sign::File("/bin/busybox")], &["busybox-static"]),
];

/// Real programs that the end-to-end tests trace, and tools that they use.
const TRAFFIC: &[Need] = &[
    Need { what: "nginx", signs: &[Sign::Program("nginx")], source: Source::Service { package: "nginx-light", unit: "nginx.service" } },
    Need {
        what: "redis-server",
        signs: &[Sign::Program("redis-server")],
        source: Source::Service { package: "redis-server", unit: "redis-server.service" },
    },
    debian("redis-cli and redis-benchmark", &[Sign::Program("redis-benchmark")], &["redis-tools"]),
    Need {
        what: "PostgreSQL 15",
        signs: &[Sign::File("/usr/lib/postgresql/15/bin/postgres")],
        source: Source::Service { package: "postgresql-15", unit: "postgresql.service" },
    },
    debian("psql", &[Sign::Program("psql")], &["postgresql-client-15"]),
    debian("pgbench", &[Sign::File("/usr/lib/postgresql/15/bin/pgbench")], &["postgresql-15"]),
    debian("psycopg 3 for Debian's Python", &[Sign::File("/usr/lib/python3/dist-packages/psycopg/__init__.py")], &["python3-psycopg"]),
    Need {
        what: "memcached",
        signs: &[Sign::Program("memcached")],
        source: Source::Service { package: "memcached", unit: "memcached.service" },
    },
    Need {
        what: "MariaDB",
        signs: &[Sign::Program("mariadbd")],
        source: Source::Service { package: "mariadb-server", unit: "mariadb.service" },
    },
    debian("PyMySQL for Debian's Python", &[Sign::Says(&["/usr/bin/python3", "-c", "import pymysql"], "")], &["python3-pymysql"]),
    debian("PyMongo for Debian's Python", &[Sign::Says(&["/usr/bin/python3", "-c", "import pymongo"], "")], &["python3-pymongo"]),
    debian(
        "pymemcache and pylibmc for Debian's Python",
        &[Sign::Says(&["/usr/bin/python3", "-c", "import pymemcache, pylibmc"], "")],
        &["python3-pymemcache", "python3-pylibmc"],
    ),
    debian("wrk", &[Sign::Program("wrk")], &["wrk"]),
    debian("curl", &[Sign::Program("curl")], &["curl"]),
    debian("openssl", &[Sign::Program("openssl")], &["openssl"]),
    debian("tcpdump", &[Sign::Program("tcpdump")], &["tcpdump"]),
    debian("bpftool (what an agent leaves in the kernel)", &[Sign::Program("bpftool")], &["bpftool"]),
    debian("dnsmasq", &[Sign::Program("dnsmasq")], &["dnsmasq-base"]),
    debian("dig", &[Sign::Program("dig")], &["bind9-dnsutils"]),
    debian("ip", &[Sign::Program("ip")], &["iproute2"]),
    debian("python3", &[Sign::Program("python3")], &["python3"]),
    debian("python3-venv", &[Sign::Says(&["/usr/bin/python3", "-c", "import ensurepip"], "")], &["python3-venv"]),
    debian("node", &[Sign::Program("node")], &["nodejs"]),
    debian("gRPC for Debian's Python", &[Sign::File("/usr/lib/python3/dist-packages/grpc/__init__.py")], &["python3-grpcio"]),
    debian("ws (WebSockets for Node)", &[Sign::File("/usr/share/nodejs/ws/package.json")], &["node-ws"]),
    debian("the compiler of Thrift", &[Sign::Program("thrift")], &["thrift-compiler"]),
    debian("Thrift for Debian's Python", &[Sign::File("/usr/lib/python3/dist-packages/thrift/__init__.py")], &["python3-thrift"]),
    Need {
        what: "php-fpm",
        signs: &[Sign::Program("php-fpm8.2")],
        source: Source::Service { package: "php8.2-fpm", unit: "php8.2-fpm.service" },
    },
    debian("nghttp, h2load and nghttpd", &[Sign::Program("nghttpd")], &["nghttp2-client", "nghttp2-server"]),
    Need {
        what: "nghttpx",
        signs: &[Sign::Program("nghttpx")],
        source: Source::Service { package: "nghttp2-proxy", unit: "nghttpx.service" },
    },
    debian("socat", &[Sign::Program("socat")], &["socat"]),
    Need { what: "haproxy", signs: &[Sign::Program("haproxy")], source: Source::Service { package: "haproxy", unit: "haproxy.service" } },
    Need {
        what: "tinyproxy",
        signs: &[Sign::Program("tinyproxy")],
        source: Source::Service { package: "tinyproxy", unit: "tinyproxy.service" },
    },
    // Brokers and servers of the JVM are fetched by Maven; what they need is in `tests/programs/*/pom.xml`, with every version fixed.
    debian("a JDK", &[Sign::Program("javac")], &["default-jdk-headless"]),
    debian("Maven", &[Sign::Program("mvn")], &["maven"]),
    Need {
        what: "nats-server",
        signs: &[Sign::Program("nats-server")],
        source: Source::Service { package: "nats-server", unit: "nats-server.service" },
    },
    Need {
        what: "RabbitMQ",
        signs: &[Sign::File("/usr/lib/rabbitmq/bin/rabbitmq-server")],
        source: Source::Service { package: "rabbitmq-server", unit: "rabbitmq-server.service" },
    },
    Need {
        what: "mosquitto",
        signs: &[Sign::Program("mosquitto")],
        source: Source::Service { package: "mosquitto", unit: "mosquitto.service" },
    },
    debian("mosquitto_pub and mosquitto_sub", &[Sign::Program("mosquitto_pub")], &["mosquitto-clients"]),
    debian("pika for Debian's Python", &[Sign::File("/usr/lib/python3/dist-packages/pika/__init__.py")], &["python3-pika"]),
    debian("Proton for Debian's Python", &[Sign::File("/usr/lib/python3/dist-packages/proton/__init__.py")], &["python3-qpid-proton"]),
    debian("Paho for Debian's Python", &[Sign::File("/usr/lib/python3/dist-packages/paho/mqtt/client.py")], &["python3-paho-mqtt"]),
    // The OpenTelemetry Collector is built from its Go modules. From 1.21 on, Go fetches the release that a module asks for.
    Need {
        what: "Go 1.21 or newer",
        signs: &[Sign::Says(&["go", "help", "toolchain"], "GOTOOLCHAIN"), Sign::Cached("go-1.23/usr/lib/go-1.23/bin/go")],
        source: Source::Unpacked { suite: "bookworm-backports", packages: &["golang-1.23-go", "golang-1.23-src"], dir: "go-1.23" },
    },
];

/// What the truth rig's programs are made with. What they need beyond this, the rig itself gets with fixed versions.
const TRUTH: &[Need] = &[
    debian("npm", &[Sign::Program("npm")], &["npm"]),
    debian("libuv", &[Sign::File("/usr/include/uv.h")], &["libuv1-dev"]),
    Need { what: "unicorn", signs: &[Sign::Program("unicorn")], source: Source::Service { package: "unicorn", unit: "unicorn.service" } },
];

/// Everything that `purpose` needs, in the order in which it must come.
pub fn of(purpose: Purpose) -> impl Iterator<Item = &'static Need> {
    let groups: &[&[Need]] = match purpose {
        Purpose::Build => &[BUILD],
        Purpose::Lint => &[BUILD, LINT],
        Purpose::Vm => &[BUILD, VM],
        Purpose::Test => &[BUILD, LINT, VM, TRAFFIC],
        Purpose::Truth => &[BUILD, TRAFFIC, TRUTH],
    };
    groups.iter().copied().flatten()
}
