//! The agent's own numbers arrive, through the SDK's exporter, over the wire of the spans.
use super::collector::{Act, Collector, LIMIT};
use super::spans::{resource, served};
use crate::export::config::{Choices, ExportConfig};
use crate::export::live::Style;
use crate::export::{Export, Usage};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Every point as `name{attribute}=value`, and the service that reports it.
fn points(request: &ExportMetricsServiceRequest) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for group in &request.resource_metrics {
        for attribute in &group.resource.as_ref().unwrap().attributes {
            if let (true, Some(any_value::Value::StringValue(name))) =
                (attribute.key == "service.name", attribute.value.as_ref().and_then(|value| value.value.as_ref()))
            {
                all.insert(format!("service.name={name}"));
            }
        }
        for metric in group.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            let points = match metric.data.as_ref().unwrap() {
                metric::Data::Sum(sum) => &sum.data_points,
                metric::Data::Gauge(gauge) => &gauge.data_points,
                other => panic!("{other:?}"),
            };
            for point in points {
                let labels = point.attributes.iter().map(|attribute| match &attribute.value.as_ref().unwrap().value {
                    Some(any_value::Value::StringValue(value)) => value.clone(),
                    other => panic!("{other:?}"),
                });
                let labels = labels.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",");
                let value = match point.value {
                    Some(number_data_point::Value::AsInt(number)) => number.to_string(),
                    Some(number_data_point::Value::AsDouble(number)) => number.to_string(),
                    None => String::new(),
                };
                all.insert(format!("{}{{{labels}}}={value}", metric.name));
            }
        }
    }
    all
}

#[test]
fn the_agents_own_numbers_arrive_over_both_protocols() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start(|_| Act::Partial(1));
        let env: BTreeMap<_, _> =
            [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), ("OTEL_METRIC_EXPORT_INTERVAL", "50"), ("OTEL_SERVICE_NAME", "watcher")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let choices = Choices { otlp: Some(format!("http://{}", collector.address)), ..Choices::default() };
        let mut export = Export::new(&ExportConfig::from_env(&env, &choices).unwrap()).unwrap();
        for _ in 0..3 {
            export.submit(&served(&resource("api")));
        }
        export.outputs[0].leave();
        export.summary(Instant::now(), &Usage { cpu: Duration::from_millis(1500), memory: 1 << 20, dropped: 4 }, &Style::plain());
        let wanted: BTreeSet<_> = [
            "service.name=watcher",
            "wirespan.spans.exported{otlp}=2",
            "wirespan.spans.dropped{otlp,rejected}=1",
            "wirespan.capture.dropped{}=4",
            "process.cpu.time{}=1.5",
            "process.memory.usage{}=1048576",
        ]
        .map(str::to_owned)
        .into();
        collector.wait_for_metrics(|request| points(request) == wanted);
        assert_eq!(export.shutdown(Instant::now() + LIMIT).0.submitted, 3);
    }
}
