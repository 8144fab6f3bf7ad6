//! A process and its host, or a bare address, become the resource of their spans.
//!
//! What a process says of itself in `OTEL_RESOURCE_ATTRIBUTES` is taken over, except where the agent knows better: no claim
//! replaces what the kernel said about the process, its container and its host, or who made the span.
use super::host::Host;
use super::process::ProcessInfo;
use super::span::{Resource, ResourceAttribute};
use crate::protocol::attribute::Value;
use crate::semconv::{
    CONTAINER_ID, HOST_ARCH, HOST_ID, HOST_NAME, OS_TYPE, PROCESS_COMMAND, PROCESS_EXECUTABLE_NAME, PROCESS_EXECUTABLE_PATH, PROCESS_PID,
    PROCESS_RUNTIME_NAME, PROCESS_RUNTIME_VERSION, SERVICE_INSTANCE_ID, SERVICE_NAME, TELEMETRY_SDK_LANGUAGE, TELEMETRY_SDK_NAME,
    TELEMETRY_SDK_VERSION,
};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// `telemetry.sdk.name`.
const SDK: &str = "wirespan";
/// Attributes that are facts: a process's own word for them does not count.
const FACTS: &[&str] = &["container.", "host.", "os.", "process.", "telemetry."];

/// The resource of a traced process.
#[must_use]
pub fn for_process(info: &ProcessInfo, host: &Host) -> Resource {
    let claims = &info.environment.attributes;
    let mut attributes = named(info.service.clone());
    let mut add = |key: &'static str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            attributes.push((key.into(), text.to_owned().into()));
        }
    };
    if claims.iter().all(|(key, _)| key != SERVICE_INSTANCE_ID) {
        add(SERVICE_INSTANCE_ID, Some(&host.instance_id(info.pid, info.start_ticks)));
    }
    add(TELEMETRY_SDK_LANGUAGE, info.runtime.language());
    add(PROCESS_EXECUTABLE_NAME, Some(info.executable_name()));
    add(PROCESS_EXECUTABLE_PATH, Some(&info.executable));
    add(PROCESS_COMMAND, Some(&info.command));
    add(PROCESS_RUNTIME_NAME, info.runtime.name());
    add(PROCESS_RUNTIME_VERSION, info.runtime_version.as_deref());
    add(CONTAINER_ID, info.container.as_deref());
    add(HOST_NAME, Some(&host.name));
    add(HOST_ID, Some(&host.id));
    add(HOST_ARCH, Some(&host.arch));
    add(OS_TYPE, Some("linux"));
    attributes.push((PROCESS_PID.into(), i64::from(info.pid).into()));
    let claims = claims.iter().filter(|(key, _)| key != SERVICE_NAME && !FACTS.iter().any(|fact| key.starts_with(fact)));
    attributes.extend(claims.map(|(key, value)| (Cow::from(key.clone()), Value::from(value.clone()))));
    Resource { attributes }
}

/// The resource of an end of a connection in a capture, where nothing but its address is known: a server with its port, named
/// `IP:port` (IPv6 in brackets, RFC 3986 section 3.2.2), or a client, named `IP`.
#[must_use]
pub fn for_address(ip: IpAddr, port: Option<u16>) -> Resource {
    let ip = ip.to_canonical();
    Resource { attributes: named(port.map_or_else(|| ip.to_string(), |port| SocketAddr::new(ip, port).to_string())) }
}

fn named(service: String) -> Vec<ResourceAttribute> {
    vec![
        (SERVICE_NAME.into(), service.into()),
        (TELEMETRY_SDK_NAME.into(), SDK.into()),
        (TELEMETRY_SDK_VERSION.into(), env!("CARGO_PKG_VERSION").into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::environment::Environment;
    use crate::enrich::runtime::Runtime;
    use crate::enrich::service::Source;

    #[test]
    fn a_process_becomes_its_attributes_and_cannot_replace_facts() {
        let claims = [("team", "shop"), ("process.pid", "1"), ("telemetry.sdk.name", "opentelemetry"), ("host.name", "lie")];
        let info = ProcessInfo {
            pid: 71,
            start_ticks: 12345,
            parent: 1,
            uid: Some(0),
            executable: "/usr/local/bin/orders".to_owned(),
            command: "orders".to_owned(),
            environment: Environment {
                attributes: claims.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
                ..Environment::default()
            },
            cgroup: "/docker/x".to_owned(),
            container: Some("c0ffee".to_owned()),
            runtime: Runtime::Go,
            runtime_version: Some("go1.26.8".to_owned()),
            service: "orders".to_owned(),
            source: Source::Executable,
        };
        let host = Host { name: "node-1".to_owned(), id: String::new(), arch: "amd64".to_owned(), boot: "b".to_owned() };
        let text = |key: &'static str, value: &str| (Cow::from(key), Value::from(value.to_owned()));
        let mut expected = vec![
            text("service.name", "orders"),
            text("telemetry.sdk.name", "wirespan"),
            text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &host.instance_id(71, 12345)),
            text("telemetry.sdk.language", "go"),
            text("process.executable.name", "orders"),
            text("process.executable.path", "/usr/local/bin/orders"),
            text("process.command", "orders"),
            text("process.runtime.name", "go"),
            text("process.runtime.version", "go1.26.8"),
            text("container.id", "c0ffee"),
            text("host.name", "node-1"),
            text("host.arch", "amd64"),
            text("os.type", "linux"),
            (Cow::from("process.pid"), Value::Int(71)),
            text("team", "shop"),
        ];
        let resource = for_process(&info, &host);
        assert_eq!(resource.attributes, expected);
        assert_eq!(resource.service(), "orders");

        let mut said = info;
        said.environment.attributes = vec![("service.instance.id".to_owned(), "orders-0".to_owned())];
        expected.remove(3);
        expected.pop();
        expected.push(text("service.instance.id", "orders-0"));
        assert_eq!(for_process(&said, &host).attributes, expected);
    }

    #[test]
    fn an_address_is_a_servers_with_its_port_and_a_clients_without() {
        let name = |ip: &str, port| for_address(ip.parse().unwrap(), port).service().to_owned();
        assert_eq!(name("198.18.0.1", Some(80)), "198.18.0.1:80");
        assert_eq!(name("198.18.0.1", None), "198.18.0.1");
        assert_eq!(name("::1", Some(6379)), "[::1]:6379");
        assert_eq!(name("::ffff:198.18.0.1", Some(80)), "198.18.0.1:80");
        assert_eq!(name("2001:db8::2", None), "2001:db8::2");
    }
}
