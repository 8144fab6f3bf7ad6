//! Apache Dubbo at both ends, by its own protocol and by Triple: which service, which method, and how it ended.
use wirespan_tests::jvm;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::span::{Kind, Span};

/// A secret that no output may contain.
const CANARY: &str = "c4n4ry-in-a-coal-mine";
/// The trace that `Shop.java` passes on in its second call.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What both ends tell of the calls of `Shop.java`, each in order of time, and the traces that the client's are in.
struct Told {
    client: Vec<String>,
    server: Vec<String>,
    traces: Vec<String>,
}

fn told(protocol: &str) -> Told {
    let rig = Rig::new();
    let (server, class_path) = servers::dubbo(&rig, protocol);
    let agent = rig.agent(&[]);
    let main = jvm::java(&class_path, "Shop", &["call", protocol]);
    rig.run("java", &[&main[..], &[&server.port.to_string()]].concat());
    let run = agent.stop();
    assert!(!format!("{run:?}").contains(CANARY));
    let of = |kind: Kind| {
        let mut all: Vec<&Span> = run.spans.iter().filter(|span| span.kind == kind).collect();
        all.sort_by_key(|span| span.start);
        all
    };
    let lines = |kind: Kind| of(kind).into_iter().map(line).collect();
    Told {
        client: lines(Kind::Client),
        server: lines(Kind::Server),
        traces: of(Kind::Client).iter().map(|span| span.trace.clone()).collect(),
    }
}

/// System, name, version of the service, status and error.
fn line(span: &Span) -> String {
    let error = if span.failed { format!("!{}", span.text("error.type")) } else { String::new() };
    let (system, version) = (span.text("rpc.system.name"), span.text("wirespan.rpc.service_version"));
    let words = [system, span.name.as_str(), version, span.text("rpc.response.status_code"), &error];
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

#[test]
fn calls_by_dubbos_own_protocol_are_told_at_both_ends() {
    let Told { client, server, traces } = told("dubbo");
    let calls = [
        "dubbo Shop$Orders/place 1.2.0 OK",
        "dubbo Shop$Orders/place 1.2.0 OK",
        "dubbo Shop$Orders/refuse 1.2.0 OK !java.lang.IllegalStateException",
        "dubbo Shop$Orders/note 1.2.0",
    ];
    let missing = "dubbo Shop$Missing/anything 1.2.0 BAD_REQUEST";
    assert_eq!(client, [&calls[..], &[&format!("{missing} !BAD_REQUEST")]].concat());
    // That a client asks for what is not there is not the server's fault.
    assert_eq!(server, [&calls[..], &[missing]].concat());
    assert_eq!(traces.iter().map(|trace| trace == TRACE).collect::<Vec<_>>(), [false, true, false, false, false]);
}

#[test]
fn calls_by_triple_are_calls_of_grpc() {
    let Told { client, server, traces } = told("tri");
    let calls = [
        "grpc Shop$Orders/place OK",
        "grpc Shop$Orders/place OK",
        // The exception is in the message.
        "grpc Shop$Orders/refuse OK",
        "grpc Shop$Orders/note OK",
        "grpc grpc UNIMPLEMENTED !UNIMPLEMENTED",
    ];
    assert_eq!((client.as_slice(), server.as_slice()), (&calls.map(str::to_owned)[..], &calls.map(str::to_owned)[..]));
    assert_eq!(traces.iter().map(|trace| trace == TRACE).collect::<Vec<_>>(), [false, true, false, false, false]);
}
