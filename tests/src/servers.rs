//! The servers of the tests, with the configurations that they get.
use crate::jvm;
use crate::program::{Program, command, free_port, run};
use crate::rig::Rig;
use crate::wait::wait_until;
use std::fs;
use std::path::Path;

/// Debian's Python: what comes first in `PATH` may be a script that starts another one.
pub const PYTHON: &str = "/usr/bin/python3";

/// A server, its port, and its process.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub port: u16,
    /// Its process.
    pub program: Program,
}

impl Server {
    /// An URL of it on the loopback interface.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// nginx with one worker for each CPU of a small machine. `http` is the inside of `http { … }`, with `PORT` for its port.
pub fn nginx(rig: &Rig, http: &str) -> Server {
    nginx_in(rig, None, http)
}

/// The same in a network namespace.
pub fn nginx_in(rig: &Rig, namespace: Option<&str>, http: &str) -> Server {
    nginx_on(rig, namespace, free_port(), http)
}

/// The same on a port that was chosen before.
pub fn nginx_on(rig: &Rig, namespace: Option<&str>, port: u16, http: &str) -> Server {
    let dir = rig.file("");
    let dir = dir.display();
    let http = http.replace("PORT", &port.to_string());
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {dir}/nginx-{port}-{kind};\n")).concat();
    let text = format!(
        "daemon off; user root; worker_processes 2; pid {dir}/nginx-{port}.pid; error_log {dir}/nginx-{port}.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000; {temporary} {http} }}\n"
    );
    let config = rig.file(&format!("nginx-{port}.conf"));
    fs::write(&config, text).expect("nginx's configuration");
    let config = config.display().to_string();
    let args = ["-c", &config];
    let program = match namespace {
        Some(namespace) => rig.serve_in(namespace, "nginx", &args, port),
        None => rig.serve("nginx", &args, port),
    };
    Server { port, program }
}

/// nginx that answers everything itself.
pub fn static_nginx(rig: &Rig) -> Server {
    nginx(
        rig,
        "server { listen 127.0.0.1:PORT reuseport; location / { return 200 'hello\\n'; } location /missing { return 404; } location /broken { return 500; } }",
    )
}

/// redis-server without persistence, with further arguments.
pub fn redis(rig: &Rig, args: &[&str]) -> Server {
    let port = free_port();
    let text = port.to_string();
    let all = [&["--port", &text, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"], args].concat();
    Server { port, program: rig.serve("redis-server", &all, port) }
}

/// memcached, which leaves root's rights behind.
pub fn memcached(rig: &Rig) -> Server {
    let port = free_port();
    Server { port, program: rig.serve("memcached", &["-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()], port) }
}

/// `MariaDB` with a database `shop`, whose user `tester` has the password `c4n4ry`.
pub fn mariadb(rig: &Rig) -> Server {
    let port = free_port();
    let dir = rig.file("mariadb");
    fs::create_dir(&dir).expect("a directory for MariaDB");
    let [data, socket, init] = ["", "socket", "init.sql"].map(|name| dir.join(name).display().to_string());
    let statements = "CREATE DATABASE shop;\nCREATE USER tester IDENTIFIED BY 'c4n4ry';\nGRANT ALL ON *.* TO tester;\n";
    // Its tables are made outside of the cgroup: nobody traces that.
    let directory = format!("--datadir={data}");
    let install = ["--no-defaults", &directory, "--user=root", "--skip-test-db", "--auth-root-authentication-method=normal"];
    run(command("mariadb-install-db", &install));
    fs::write(dir.join("init.sql"), statements).expect("MariaDB's first statements");
    let args = [
        "--no-defaults",
        &directory,
        "--user=root",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--local-infile=1",
        "--innodb-buffer-pool-size=16M",
        &format!("--port={port}"),
        &format!("--socket={socket}"),
        &format!("--init-file={init}"),
    ];
    Server { port, program: rig.serve("mariadbd", &args, port) }
}

/// Apache Kafka: a broker that is its own controller, with one partition a topic unless asked for more.
pub fn kafka(rig: &Rig) -> Server {
    let (port, controller, class_path) = (free_port(), free_port(), jvm::jars("kafka"));
    let (data, config) = (rig.file("kafka"), rig.file("kafka.properties"));
    let once = ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"]
        .map(|topic| format!("{topic}.num.partitions=1\n{topic}.replication.factor=1\n{topic}.min.isr=1\n"))
        .concat();
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
         auto.create.topics.enable=false\ngroup.initial.rebalance.delay.ms=0\nnum.network.threads=1\nnum.io.threads=2\n\
         log.cleaner.enable=false\nlog.dirs={}\n{once}",
        data.display()
    );
    fs::write(&config, text).expect("Kafka's configuration");
    let config = config.display().to_string();
    let format = ["format", "--cluster-id", "wirespanwirespanwirespA", "--config", &config];
    run(command("java", &jvm::java(&class_path, "kafka.tools.StorageTool", &format)));
    Server { port, program: rig.serve("java", &jvm::java(&class_path, "kafka.Kafka", &[&config]), port) }
}

/// Apache `ZooKeeper`, one server without an ensemble.
pub fn zookeeper(rig: &Rig) -> Server {
    let (port, class_path, config) = (free_port(), jvm::jars("zookeeper"), rig.file("zookeeper.cfg"));
    let text = format!(
        "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        rig.file("zookeeper").display()
    );
    fs::write(&config, text).expect("ZooKeeper's configuration");
    let config = config.display().to_string();
    let main = "org.apache.zookeeper.server.ZooKeeperServerMain";
    Server { port, program: rig.serve("java", &jvm::java(&class_path, main, &[&config]), port) }
}

/// `Shop.java` of Apache Dubbo, which serves by `protocol`, and the class path that calls it.
pub fn dubbo(rig: &Rig, protocol: &str) -> (Server, String) {
    let (port, class_path) = (free_port(), jvm::classes(rig, "dubbo", "Shop.java"));
    let program = rig.serve("java", &jvm::java(&class_path, "Shop", &["serve", protocol, &port.to_string()]), port);
    (Server { port, program }, class_path)
}

/// nats-server with streams.
pub fn nats(rig: &Rig) -> Server {
    let (port, store) = (free_port(), rig.file("streams").display().to_string());
    let args = ["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir", &store];
    Server { port, program: rig.serve("nats-server", &args, port) }
}

/// mosquitto for anybody.
pub fn mosquitto(rig: &Rig) -> Server {
    let port = free_port();
    let config = rig.file("mosquitto.conf");
    fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")).expect("mosquitto's configuration");
    Server { port, program: rig.serve("mosquitto", &["-c", &config.display().to_string()], port) }
}

/// `RabbitMQ` as a node of its own, with the given plug-ins. What it starts besides ends with the rig's cgroup.
pub fn rabbitmq(rig: &Rig, plugins: &str) -> Server {
    let (port, distribution, mapper) = (free_port(), free_port(), free_port());
    let dir = rig.file("rabbitmq");
    fs::create_dir(&dir).expect("RabbitMQ's directory");
    fs::write(dir.join("plugins"), format!("[{plugins}].\n")).expect("RabbitMQ's plug-ins");
    fs::write(dir.join("rabbitmq.conf"), "").expect("RabbitMQ's configuration");
    let dir = dir.display();
    let settings = [
        format!("HOME={dir}"),
        format!("ERL_EPMD_PORT={mapper}"),
        "ERL_EPMD_ADDRESS=127.0.0.1".to_owned(),
        format!("RABBITMQ_NODENAME=wirespan{port}@localhost"),
        "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1".to_owned(),
        format!("RABBITMQ_NODE_PORT={port}"),
        format!("RABBITMQ_DIST_PORT={distribution}"),
        format!("RABBITMQ_MNESIA_BASE={dir}/mnesia"),
        format!("RABBITMQ_LOG_BASE={dir}/log"),
        format!("RABBITMQ_ENABLED_PLUGINS_FILE={dir}/plugins"),
        format!("RABBITMQ_CONFIG_FILE={dir}/rabbitmq"),
    ];
    let mut args: Vec<&str> = settings.iter().map(String::as_str).collect();
    args.push("/usr/lib/rabbitmq/bin/rabbitmq-server");
    Server { port, program: rig.serve("env", &args, port) }
}

/// Starts one end of a broker, a role of the Go program `brokers` there, and waits until it is ready.
pub fn role(rig: &Rig, name: &str, url: &str) -> Program {
    let said = rig.file(&format!("{name}.out"));
    let mut program = rig.command(&go("brokers"), &[name, url]);
    program.stdout(fs::File::create(&said).expect("a file for messages"));
    let program = Program::start(program);
    wait_until(&format!("{name} is ready"), || fs::read_to_string(&said).is_ok_and(|said| said.contains("ready")));
    program
}

/// A `MongoDB` of the JVM, which keeps everything in memory.
pub fn mongodb(rig: &Rig) -> Server {
    let (port, class_path, source) = (free_port(), jvm::jars("mongodb"), program("mongodb/Server.java"));
    let text = port.to_string();
    Server { port, program: rig.serve("java", &jvm::java(&class_path, &source, &[&text]), port) }
}

/// A program of `tests/programs`, which gets its port as its first argument.
pub fn script(rig: &Rig, interpreter: &str, name: &str, args: &[&str]) -> Server {
    let port = free_port();
    let (file, text) = (program(name), port.to_string());
    let all = [&[file.as_str(), &text], args].concat();
    Server { port, program: rig.serve(interpreter, &all, port) }
}

/// Path of a program of `tests/programs`.
pub fn program(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name).display().to_string()
}

/// Builds a Go program of `tests/programs`, and gives the path of it; Go does nothing the second time.
pub fn go(name: &str) -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let into = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join(name).display().to_string();
    let mut go = command("go", &["build", "-trimpath", "-o", &into, "."]);
    go.current_dir(program(name));
    run(go);
    into
}

/// The password of the only user of [`postgresql`], `shop`: no output may contain it.
pub const PASSWORD: &str = "c4n4ry-in-a-coal-mine";

/// A `PostgreSQL` server with a database of its own that keeps nothing; it runs as the user that Debian makes for it.
pub fn postgresql(rig: &Rig) -> Server {
    const BIN: &str = "/usr/lib/postgresql/15/bin";
    let as_user = ["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"];
    let [home, data, password] = ["postgresql", "postgresql/data", "postgresql/password"].map(|name| rig.file(name).display().to_string());
    fs::create_dir(&home).expect("a directory for the server");
    fs::write(&password, PASSWORD).expect("its password");
    run(command("chown", &["-R", "postgres", &home]));
    let (initdb, password) = (format!("{BIN}/initdb"), format!("--pwfile={password}"));
    let options = [&initdb, "-D", &data, "-U", "shop", "--auth=scram-sha-256", &password, "--no-sync", "--no-locale", "-E", "UTF8"];
    run(command("setpriv", &[&as_user[..], &options].concat()));
    let (port, server) = (free_port(), format!("{BIN}/postgres"));
    let (number, sockets) = (port.to_string(), format!("unix_socket_directories={home}"));
    let mut args = as_user.to_vec();
    args.extend([&server, "-D", &data, "-p", &number, "-h", "127.0.0.1", "-c", "fsync=off", "-c", &sockets].map(|arg: &str| arg));
    Server { port, program: rig.serve("setpriv", &args, port) }
}
