//! A Java command line becomes the program's name: what Spring or the user called it, the server, the jar, or the main class.
//!
//! Pure. The rules of options are those of the `java` launcher (JDK 17, "The java Command").
use super::environment::Environment;
use super::program::{Program, value};

/// Options of the launcher whose value is the next word.
const WITH_VALUE: &[&str] = &[
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-exports",
    "--add-opens",
    "--add-reads",
    "--patch-module",
    "--limit-modules",
    "--enable-native-access",
    "--source",
];

/// Main classes whose name is not what people call the program.
const KNOWN: &[(&str, &str)] = &[
    ("kafka.Kafka", "kafka"),
    ("org.apache.kafka.connect.cli.ConnectDistributed", "kafka-connect"),
    ("org.apache.kafka.connect.cli.ConnectStandalone", "kafka-connect"),
    ("org.apache.zookeeper.server.quorum.QuorumPeerMain", "zookeeper"),
    ("org.apache.zookeeper.server.ZooKeeperServerMain", "zookeeper"),
    ("org.apache.cassandra.service.CassandraDaemon", "cassandra"),
    ("org.elasticsearch.bootstrap.Elasticsearch", "elasticsearch"),
    ("org.elasticsearch.server.cli.ServerCli", "elasticsearch"),
    ("org.opensearch.bootstrap.OpenSearch", "opensearch"),
    ("org.apache.activemq.artemis.boot.Artemis", "artemis"),
    ("org.apache.flink.runtime.taskexecutor.TaskManagerRunner", "flink-taskmanager"),
    ("org.sonatype.nexus.karaf.NexusMain", "nexus"),
];

/// Main classes that only load the application, which is then named by its directory.
const LOADERS: &[&str] =
    &["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "play.core.server.ProdServerStart", "com.simontuffs.onejar.Boot"];

/// Simple names that say nothing without their package.
const GENERIC: &[&str] = &["Main", "App", "Application", "Server", "Launcher", "Bootstrap", "Boot", "Start", "Runner"];

/// What the words after `java` run.
pub(super) fn program(args: &[String], environment: &Environment) -> Program {
    let property = |name: &str| {
        let of = |word: &'_ String| word.strip_prefix("-D")?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        args.iter().find_map(of).filter(|text| !text.is_empty())
    };
    let spring = || value(args, &["--spring.application.name"]).map(str::to_owned).or_else(|| environment.spring_application_name.clone());
    let named = property("otel.service.name").or_else(|| property("spring.application.name")).or_else(spring);
    if let Some(name) = named {
        return Program::Name(name);
    }
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().cloned().unwrap_or_default();
        match word.as_str() {
            "-jar" => return jar(next(), property),
            "-m" | "--module" => return module(&next()),
            option if WITH_VALUE.contains(&option) => drop(next()),
            option if option.starts_with("--module=") => return module(option.trim_start_matches("--module=")),
            // An argument file holds more options: what it says is not read.
            option if option.starts_with(['-', '@']) => {}
            // Source-file mode.
            source if source.strip_suffix(".java").is_some() => return Program::Script(source.to_owned()),
            class => return main_class(class, property),
        }
    }
    Program::Anonymous
}

fn jar(path: String, property: impl Fn(&str) -> Option<String>) -> Program {
    match path.rsplit('/').next() {
        Some("jboss-modules.jar") => Program::Name(property("jboss.home.dir").map_or_else(|| "wildfly".to_owned(), |path| last(&path))),
        Some("start.jar") => property("solr.solr.home").map_or(Program::Script(path), |_| Program::Name("solr".to_owned())),
        _ => Program::Script(path),
    }
}

/// `module` or `module/main.Class`.
fn module(text: &str) -> Program {
    match text.split_once('/') {
        Some((_, class)) => main_class(class, |_| None),
        None => Program::Name(text.to_owned()),
    }
}

fn main_class(class: &str, property: impl Fn(&str) -> Option<String>) -> Program {
    // `a/b/C` means the same class to the launcher as `a.b.C`.
    let class = class.replace('/', ".");
    if let Some((_, name)) = KNOWN.iter().find(|(known, _)| *known == class) {
        return Program::Name((*name).to_owned());
    }
    if class == "org.apache.catalina.startup.Bootstrap" {
        return Program::Name(property("catalina.base").map_or_else(|| "tomcat".to_owned(), |path| last(&path)));
    }
    if LOADERS.contains(&class.as_str()) || class.starts_with("org.springframework.boot.loader.") {
        return Program::Directory("java".to_owned());
    }
    let (package, simple) = class.rsplit_once('.').unwrap_or(("", &class));
    let bare = simple.strip_suffix("Kt").unwrap_or(simple);
    if GENERIC.contains(&bare) && !package.is_empty() {
        return Program::Name(last(&package.replace('.', "/")));
    }
    Program::Name(simple.to_owned())
}

/// The last part of a path.
fn last(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned()
}

/// The base name of a jar or war without its version and packaging: `orders-1.2.3-SNAPSHOT-exec` becomes `orders`.
pub(super) fn without_version(mut base: &str) -> &str {
    for packaging in ["-exec", "-all", "-fat", "-uber", "-shaded", "-boot", "-runner", "-standalone", "-jar-with-dependencies"] {
        base = base.strip_suffix(packaging).filter(|rest| !rest.is_empty()).unwrap_or(base);
    }
    let version = |at: usize| {
        let text = base.get(at + 1..).unwrap_or("");
        let text = text.strip_prefix('v').unwrap_or(text);
        let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
        after.len() < text.len() && (after.is_empty() || after.starts_with('.') || after == "-SNAPSHOT")
    };
    base.match_indices('-').map(|(at, _)| at).find(|&at| at > 0 && version(at)).and_then(|at| base.get(..at)).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_programs_are_named_as_people_name_them() {
        let name = |text: &str| Program::Name(text.to_owned());
        let script = |text: &str| Program::Script(text.to_owned());
        for (line, expected) in [
            ("-Xmx1g -javaagent:/a.jar -jar /app/orders-1.2.3.jar --server.port=1", script("/app/orders-1.2.3.jar")),
            ("-cp /a:/b --add-opens java.base/java.lang=ALL-UNNAMED -ea com.acme.OrdersApplication x", name("OrdersApplication")),
            ("-classpath a com.acme.orders.Main", name("orders")),
            ("-cp . Main", name("Main")),
            ("--class-path a com.acme.billing.ApplicationKt", name("billing")),
            ("@/opt/opts com.acme.Billing", name("Billing")),
            ("-p mods -m com.acme.shop/com.acme.shop.Checkout", name("Checkout")),
            ("--module-path=mods --module=com.acme.shop", name("com.acme.shop")),
            ("-Dotel.service.name=pay -jar x.jar", name("pay")),
            ("-Dspring.application.name=pay -jar x.jar", name("pay")),
            ("-jar x.jar --spring.application.name=pay", name("pay")),
            ("-Dcatalina.base=/srv/tomcat-orders/ -cp b.jar org.apache.catalina.startup.Bootstrap start", name("tomcat-orders")),
            ("-cp b.jar org.apache.catalina.startup.Bootstrap start", name("tomcat")),
            ("-Xmx1G -cp /opt/kafka/libs/* kafka.Kafka config/server.properties", name("kafka")),
            ("-cp x org.apache.cassandra.service.CassandraDaemon", name("cassandra")),
            ("-m org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch", name("elasticsearch")),
            ("-Djboss.home.dir=/opt/wildfly-30 -jar /opt/wildfly-30/jboss-modules.jar -mp x", name("wildfly-30")),
            ("org.springframework.boot.loader.launch.JarLauncher", Program::Directory("java".to_owned())),
            ("--source 17 Orders.java", script("Orders.java")),
            ("-Xmx1g", Program::Anonymous),
            ("-jar", script("")),
        ] {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(program(&args, &Environment::default()), expected, "{line}");
        }
        let spring = Environment { spring_application_name: Some("pay".to_owned()), ..Environment::default() };
        assert_eq!(program(&["-jar".to_owned(), "app.jar".to_owned()], &spring), name("pay"));
    }

    #[test]
    fn versions_and_packaging_are_no_part_of_a_jars_name() {
        for (base, expected) in [
            ("orders-1.2.3", "orders"),
            ("orders-service-2.0.0.RELEASE", "orders-service"),
            ("orders-1.2.3-SNAPSHOT", "orders"),
            ("orders-1-SNAPSHOT", "orders"),
            ("orders-1.2.3-SNAPSHOT-exec", "orders"),
            ("orders-v2.1", "orders"),
            ("orders-20240101", "orders"),
            ("log4j-2-demo", "log4j-2-demo"),
            ("orders-all", "orders"),
            ("s3-gateway-0.1-rc.2", "s3-gateway"),
            ("-1.2", "-1.2"),
            ("orders", "orders"),
        ] {
            assert_eq!(without_version(base), expected);
        }
    }
}
