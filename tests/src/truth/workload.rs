//! The workloads, as data: adding one is a line here and, if no program does it yet, a program in `tests/truth`.

/// The program of a workload: what it is written in, and how it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Python's `http.server`.
    Threads,
    /// gunicorn with sync workers.
    Prefork,
    /// Ruby's unicorn.
    Unicorn,
    /// aiohttp.
    Loop,
    /// uvicorn.
    Asgi,
    /// Node.
    Node,
    /// Go's `net/http`.
    Go,
    /// The same, calling with HTTP/2.
    GoHttp2,
    /// The same, with `database/sql`.
    GoSql,
    /// `net/http` of an older version, stripped and position-independent.
    GoOld,
    /// tokio with axum.
    Tokio,
    /// C with libuv.
    Libuv,
    /// A JVM.
    Java,
    /// A JVM that has virtual threads.
    Java25,
    /// nginx with worker processes.
    Nginx,
}

/// How good wirespan's links have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// At least 99.9 % right, at most 0.1 % wrong.
    Right,
    /// At most 0.1 % wrong: an orphan is better than a wrong parent.
    NotWrong,
}

/// A server that makes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name, also that of its files.
    pub name: &'static str,
    /// What it does, for people.
    pub title: &'static str,
    /// What runs.
    pub program: Program,
    /// What the program is told to do.
    pub variant: &'static str,
    /// Calls of one request.
    pub calls: u32,
    /// How good the links have to be.
    pub bar: Bar,
}

const fn workload(name: &'static str, title: &'static str, program: Program, variant: &'static str, calls: u32) -> Workload {
    Workload { name, title, program, variant, calls, bar: Bar::NotWrong }
}

/// One in which wirespan has no excuse.
const fn right(workload: Workload) -> Workload {
    Workload { bar: Bar::Right, ..workload }
}

/// Every workload, in the order of the table.
pub const WORKLOADS: &[Workload] = &[
    right(workload("python-threads", "Python `http.server`, a thread per connection", Program::Threads, "direct", 1)),
    right(workload("python-threads-sequential", "the same, two calls in sequence", Program::Threads, "sequential", 2)),
    right(workload("python-threads-redis", "the same, Redis", Program::Threads, "redis", 1)),
    right(workload("java-threads", "JDK server, a thread per request, `HttpURLConnection`", Program::Java, "threads", 1)),
    right(workload("gunicorn-sync", "gunicorn, 4 sync workers (prefork)", Program::Prefork, "direct", 1)),
    right(workload("unicorn", "Ruby's unicorn, 4 workers (prefork)", Program::Unicorn, "direct", 1)),
    right(workload("java-pool", "JDK server, fixed pool of 16", Program::Java, "pool", 1)),
    right(workload("tomcat", "Tomcat, embedded", Program::Java, "tomcat", 1)),
    right(workload("nginx-proxy", "nginx `proxy_pass`, upstream keep-alive", Program::Nginx, "proxy", 1)),
    right(workload("node-direct", "Node: `http` agent, unlimited", Program::Node, "direct", 1)),
    right(workload("node-pool", "Node: agent of 4 sockets", Program::Node, "pool", 1)),
    right(workload("node-fetch", "Node: `fetch`", Program::Node, "fetch", 1)),
    right(workload("node-sequential", "Node: two sequential `await`s", Program::Node, "sequential", 2)),
    right(workload("node-parallel", "Node: `Promise.all` of two", Program::Node, "parallel", 2)),
    right(workload("node-timer", "Node: a timer first", Program::Node, "timer", 1)),
    right(workload("node-file", "Node: a file read first", Program::Node, "file", 1)),
    workload("node-redis", "Node: Redis", Program::Node, "redis", 1),
    workload("node-after", "Node: a call after the response", Program::Node, "after", 1),
    right(workload("node-background", "Node: a background job beside", Program::Node, "background", 1)),
    workload("node-pool-sequential", "Node: agent of 4 sockets, two sequential `await`s", Program::Node, "pool-sequential", 2),
    right(workload("node-batch", "Node: calls collected by `setImmediate`", Program::Node, "batch", 1)),
    right(workload("node-mixed", "Node: by turns a timer, a file, `fetch`, a batch", Program::Node, "mixed", 1)),
    right(workload("libuv", "C with libuv", Program::Libuv, "direct", 1)),
    right(workload("libuv-timer", "C with libuv: a timer first", Program::Libuv, "timer", 1)),
    right(workload("aiohttp-direct", "asyncio (aiohttp)", Program::Loop, "direct", 1)),
    right(workload("aiohttp-pool", "asyncio: pool of 4 connections", Program::Loop, "pool", 1)),
    right(workload("aiohttp-sequential", "asyncio: two sequential `await`s", Program::Loop, "sequential", 2)),
    right(workload("aiohttp-parallel", "asyncio: `gather` of two", Program::Loop, "parallel", 2)),
    right(workload("aiohttp-timer", "asyncio: a timer first", Program::Loop, "timer", 1)),
    right(workload("aiohttp-file", "asyncio: a file read in a thread first", Program::Loop, "file", 1)),
    right(workload("aiohttp-redis", "asyncio: Redis", Program::Loop, "redis", 1)),
    workload("aiohttp-after", "asyncio: a call after the response", Program::Loop, "after", 1),
    right(workload("aiohttp-background", "asyncio: a background job beside", Program::Loop, "background", 1)),
    right(workload("uvicorn-direct", "uvicorn with httpx", Program::Asgi, "direct", 1)),
    right(workload("uvicorn-parallel", "uvicorn with httpx: `gather` of two", Program::Asgi, "parallel", 2)),
    right(workload("uvicorn-threads", "uvicorn: `def` endpoint in a thread pool", Program::Asgi, "threads", 1)),
    right(workload("go-direct", "Go `net/http`", Program::Go, "direct", 1)),
    right(workload("go-sequential", "Go: two in sequence", Program::Go, "sequential", 2)),
    right(workload("go-parallel", "Go: two goroutines", Program::Go, "parallel", 2)),
    right(workload("go-timer", "Go: a timer first", Program::Go, "timer", 1)),
    right(workload("go-redis", "Go: go-redis", Program::Go, "redis", 1)),
    workload("go-pool", "Go: a pool of 8 workers", Program::Go, "pool", 1),
    right(workload("go-old", "Go 1.21, stripped, PIE: two goroutines", Program::GoOld, "parallel", 2)),
    workload("go-after", "Go: a call after the response", Program::Go, "after", 1),
    workload("go-background", "Go: a background job beside", Program::Go, "background", 1),
    right(workload("go-http2", "Go: HTTP/2", Program::GoHttp2, "http2", 1)),
    workload("go-http2-parallel", "Go: HTTP/2, two goroutines", Program::GoHttp2, "http2-parallel", 2),
    workload("go-grpc", "Go: gRPC", Program::GoHttp2, "grpc", 1),
    workload("go-sql", "Go: `database/sql` (PostgreSQL)", Program::GoSql, "sql", 1),
    right(workload("tokio-direct", "tokio (axum, reqwest)", Program::Tokio, "direct", 1)),
    right(workload("tokio-sequential", "tokio: two sequential `await`s", Program::Tokio, "sequential", 2)),
    right(workload("tokio-parallel", "tokio: `join!` of two", Program::Tokio, "parallel", 2)),
    right(workload("tokio-timer", "tokio: a timer first", Program::Tokio, "timer", 1)),
    right(workload("tokio-spawn", "tokio: in a task of its own", Program::Tokio, "spawn", 1)),
    right(workload("tokio-joinset", "tokio: a `JoinSet` of two", Program::Tokio, "joinset", 2)),
    // The call that loses is not always made.
    right(workload("tokio-select", "tokio: `select!` of two", Program::Tokio, "select", 1)),
    right(workload("tokio-limited", "tokio: a semaphore and a timeout", Program::Tokio, "limited", 1)),
    right(workload("tokio-one", "tokio: one thread, `join!` of two", Program::Tokio, "one-parallel", 2)),
    right(workload("tokio-actor", "tokio: in a pool of tasks that serve others", Program::Tokio, "actor", 1)),
    workload("tokio-after", "tokio: a call after the response", Program::Tokio, "after", 1),
    workload("tokio-background", "tokio: a background job beside", Program::Tokio, "background", 1),
    workload("java-handoff", "Java: handed to another pool", Program::Java, "handoff", 1),
    workload("java-future", "Java: `supplyAsync` in another pool, `join`", Program::Java, "future", 1),
    workload("java-httpclient", "Java: `HttpClient.send`", Program::Java, "httpclient", 1),
    workload("java25-httpclient", "Java 25: the same", Program::Java25, "httpclient", 1),
    right(workload("java-virtual", "Java 25: virtual threads, `HttpURLConnection`", Program::Java25, "virtual", 1)),
    workload("java-virtual-httpclient", "Java 25: virtual threads, `HttpClient.send`", Program::Java25, "virtual-httpclient", 1),
    right(workload("netty", "Netty: the call in the request's loop", Program::Java, "netty", 1)),
    right(workload("netty-timer", "Netty: a timer first", Program::Java, "netty-timer", 1)),
    workload("reactor-netty", "reactor-netty at both ends", Program::Java, "reactor", 1),
];

/// The workload of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}
