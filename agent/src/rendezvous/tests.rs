//! Two agents and real servers: one, behind Sentinels, and in a Cluster; gone, frozen, back, and with content of others.
use super::*;
use crate::causality::ids::WireKey;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const KEY: WireKey = WireKey { seq: 0x1234_5678, ack: 0x9abc_def0 };

fn place(byte: u8) -> Place {
    Place { trace_id: [byte; 16], flags: 1, state: None }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Waits until `what` gives something.
fn until<T>(name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {name}");
        sleep(Duration::from_millis(20));
    }
}

/// A directory that goes with it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("wirespan-links-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// redis-server, killed when it goes.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start(dir: &Dir, port: u16, args: &[&str]) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(&dir.0).args(args);
        Self::spawn(command, port)
    }

    fn sentinel(config: &Path, port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.arg(config).arg("--sentinel");
        Self::spawn(command, port)
    }

    fn spawn(mut command: Command, port: u16) -> Self {
        let child = command.stdout(Stdio::null()).spawn().expect("redis-server, which `cargo xtask test` sets up");
        until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { child, port }
    }

    fn cli(&self, args: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(args).output().expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent(address: &str, password: Option<Password>) -> Rendezvous {
    let config = LinksConfig { address: address.parse().expect("an address"), password, wait: Duration::from_millis(1500) };
    Rendezvous::start(config).expect("a thread")
}

fn tell(agent: &Rendezvous, key: WireKey, place: Option<Place>) {
    agent.send([Letter::Tell { key, place }]);
}

/// Asks, and waits for the first answer that satisfies; questions end after 1.5 s, so it asks again.
fn answer_of(agent: &Rendezvous, key: WireKey, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let mut asked: Option<Instant> = None;
    until("there is an answer", || {
        if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(1)) {
            agent.send([Letter::Ask { id: ExchangeId(1), key }]);
            asked = Some(Instant::now());
        }
        agent.take_answers().into_iter().map(|(_, answer)| answer).find(&wanted)
    })
}

/// One tells, the other one learns of it.
fn assert_they_meet(address: &str, password: Option<&Password>) {
    let [client, server] = [(); 2].map(|()| agent(address, password.cloned()));
    // Keys of many slots.
    for seq in 0..20 {
        tell(&client, WireKey { seq, ack: 7 }, Some(place(seq as u8 + 1)));
    }
    for seq in 0..20 {
        let answer = answer_of(&server, WireKey { seq, ack: 7 }, |answer| *answer != Answer::Nobody);
        assert_eq!(answer, Answer::Placed(place(seq as u8 + 1)));
    }
    assert_eq!([client.remarks(), server.remarks()], [(); 2].map(|()| BTreeMap::new()), "{:?}", server.take_notices());
    client.close();
    server.close();
}

#[test]
fn two_agents_meet_at_one_server_that_asks_for_a_password() {
    let dir = Dir::new("single");
    let redis = Redis::start(&dir, free_port(), &["--requirepass", "let me in"]);
    let file = dir.0.join("password");
    std::fs::write(&file, "let me in\n").expect("a file");
    assert_they_meet(&format!("redis://127.0.0.1:{}/3", redis.port), Some(&Password::File(file.clone())));
    let wrong = agent(&format!("redis://127.0.0.1:{}", redis.port), Some(Password::Text("hunter2".to_owned())));
    tell(&wrong, KEY, None);
    let notice = until("it is said", || wrong.take_notices().pop());
    assert!(notice.contains("cannot be used (connect: ") && !notice.contains("hunter2"), "{notice}");
    std::fs::remove_file(&file).expect("a file");
    let config = LinksConfig { address: "redis://a".parse().expect("one"), password: Some(Password::File(file)), wait: PATIENCE };
    assert!(Rendezvous::start(config).is_err_and(|error| error.starts_with("read the password from ")));
}

#[test]
fn two_agents_meet_at_the_master_that_sentinels_name() {
    let dir = Dir::new("sentinel");
    let redis = Redis::start(&dir, free_port(), &["--requirepass", "secret"]);
    let (port, config) = (free_port(), dir.0.join("sentinel.conf"));
    let text = format!("port {port}\nsentinel monitor mine 127.0.0.1 {} 1\nsentinel auth-pass mine secret\n", redis.port);
    std::fs::write(&config, text).expect("a file");
    let _sentinel = Redis::sentinel(&config, port);
    // One of the two that are named does not answer.
    let address = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{port}/mine", free_port());
    assert_they_meet(&address, Some(&Password::Text("secret".to_owned())));
}

#[test]
fn two_agents_meet_in_a_cluster() {
    let dirs = ["one", "two", "three"].map(Dir::new);
    let nodes = [0, 1, 2]
        .map(|place| Redis::start(&dirs[place], free_port(), &["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]));
    let hosts = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port));
    nodes[0].cli(&[&["--cluster", "create"], &hosts.each_ref().map(String::as_str)[..], &["--cluster-yes"]].concat());
    for node in &nodes {
        until("the cluster is whole", || node.cli(&["cluster", "info"]).contains("cluster_state:ok").then_some(()));
    }
    assert_they_meet(&format!("redis-cluster://{},{}", hosts[0], hosts[2]), None);
    let used = nodes.iter().filter(|node| node.cli(&["dbsize"]) != "0").count();
    assert_eq!(used, 3, "keys are everywhere");
}

#[test]
fn what_is_told_is_announced_then_placed_and_expires() {
    let dir = Dir::new("life");
    let redis = Redis::start(&dir, free_port(), &[]);
    let address = format!("redis://127.0.0.1:{}", redis.port);
    let [client, server] = [(); 2].map(|()| agent(&address, None));
    assert_eq!(answer_of(&server, KEY, |_| true), Answer::Nobody);
    tell(&client, KEY, None);
    assert_eq!(answer_of(&server, KEY, |answer| *answer != Answer::Nobody), Answer::Announced);
    tell(&client, KEY, Some(place(1)));
    assert_eq!(answer_of(&server, KEY, |answer| *answer != Answer::Announced), Answer::Placed(place(1)));
    let life: i64 = redis.cli(&["pttl", "ws1:123456789abcdef0"]).parse().expect("milliseconds");
    assert!((1..=5000).contains(&life), "{life}");
}

#[test]
fn of_two_that_tell_different_things_none_is_believed_whoever_comes_first() {
    let dir = Dir::new("race");
    let redis = Redis::start(&dir, free_port(), &[]);
    let address = format!("redis://127.0.0.1:{}", redis.port);
    let [one, other, server] = [(); 3].map(|()| agent(&address, None));
    for seq in 0..100 {
        let key = WireKey { seq, ack: 0 };
        tell(&one, key, Some(place(1)));
        tell(&other, key, Some(place(2)));
    }
    until("both have told", || redis.cli(&["hlen", "ws1:0000006300000000"]).eq("2").then_some(()));
    for seq in 0..100 {
        assert_eq!(answer_of(&server, WireKey { seq, ack: 0 }, |_| true), Answer::Conflict);
    }
}

#[test]
fn what_others_left_in_the_store_is_no_answer_and_is_counted() {
    let dir = Dir::new("foreign");
    let redis = Redis::start(&dir, free_port(), &[]);
    let server = agent(&format!("redis://127.0.0.1:{}", redis.port), None);
    redis.cli(&["set", "ws1:0000000100000000", "a string"]);
    redis.cli(&["hset", "ws1:0000000200000000", "field", "no place"]);
    server.send([1, 2].map(|seq| Letter::Ask { id: ExchangeId(u64::from(seq)), key: WireKey { seq, ack: 0 } }));
    until("it is counted", || server.remarks().get("links.foreign").filter(|count| **count >= 4).map(|_| ()));
    assert_eq!(server.take_answers(), []);
    redis.cli(&["config", "set", "maxmemory", "1"]);
    tell(&server, KEY, None);
    until("it is counted", || server.remarks().get("links.refused").copied());
    let notice = until("it is said", || server.take_notices().pop());
    assert!(notice.contains(" refuses: OOM "), "{notice}");
}

#[test]
fn a_store_that_is_gone_or_frozen_holds_nobody_up_and_is_used_again_when_it_is_back() {
    let dir = Dir::new("gone");
    let redis = Redis::start(&dir, free_port(), &[]);
    let port = redis.port;
    let address = format!("redis://127.0.0.1:{port}");
    let [client, server] = [(); 2].map(|()| agent(&address, None));
    let meet = |seq| {
        let key = WireKey { seq, ack: 1 };
        until("they meet", || {
            tell(&client, key, Some(place(9)));
            server.send([Letter::Ask { id: ExchangeId(1), key }]);
            sleep(Duration::from_millis(100));
            server.take_answers().into_iter().find(|(_, answer)| *answer == Answer::Placed(place(9)))
        });
    };
    meet(1);
    drop(redis);
    for seq in 0..u32::try_from(2 * MAX_UNTOLD).expect("few") {
        tell(&client, WireKey { seq, ack: 2 }, None);
    }
    let said = until("it is said", || client.take_notices().pop());
    assert!(said.starts_with(&format!("the store for links at 127.0.0.1:{port} cannot be used (")), "{said}");
    assert!(until("what does not fit is counted", || client.remarks().get("links.queue_full").copied()) > 0);
    assert!(until("what is too old is counted", || client.remarks().get("links.untold").copied()) > 0);
    let redis = Redis::start(&dir, port, &[]);
    meet(2);
    let said = until("it is said", || client.take_notices().pop());
    assert_eq!(said, format!("the store for links at 127.0.0.1:{port} answers again"));
    redis.signal(rustix::process::Signal::STOP);
    tell(&client, KEY, None);
    until("it is said", || client.take_notices().pop());
    redis.signal(rustix::process::Signal::CONT);
    meet(3);
}
