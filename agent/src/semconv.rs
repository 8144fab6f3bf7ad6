//! Names of attributes, from the OpenTelemetry semantic conventions 1.44.0 and, under `wirespan.`, our own.
#![allow(missing_docs, reason = "a constant's value is its documentation; meanings are in the conventions and in the README")]

/// Schema that the names follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

pub const SERVICE_NAME: &str = "service.name";
pub const SERVICE_NAMESPACE: &str = "service.namespace";
pub const SERVICE_VERSION: &str = "service.version";
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
pub const SERVICE_PEER_NAME: &str = "service.peer.name";
pub const TELEMETRY_SDK_LANGUAGE: &str = "telemetry.sdk.language";
pub const TELEMETRY_SDK_NAME: &str = "telemetry.sdk.name";
pub const TELEMETRY_SDK_VERSION: &str = "telemetry.sdk.version";
pub const PROCESS_PID: &str = "process.pid";
pub const PROCESS_COMMAND: &str = "process.command";
pub const PROCESS_EXECUTABLE_NAME: &str = "process.executable.name";
pub const PROCESS_EXECUTABLE_PATH: &str = "process.executable.path";
pub const PROCESS_RUNTIME_NAME: &str = "process.runtime.name";
pub const PROCESS_RUNTIME_VERSION: &str = "process.runtime.version";
pub const CONTAINER_ID: &str = "container.id";
pub const HOST_NAME: &str = "host.name";
pub const HOST_ID: &str = "host.id";
pub const HOST_ARCH: &str = "host.arch";
pub const OS_TYPE: &str = "os.type";

pub const ERROR_TYPE: &str = "error.type";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";
pub const CLIENT_ADDRESS: &str = "client.address";
pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
pub const NETWORK_PEER_PORT: &str = "network.peer.port";
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
pub const NETWORK_TRANSPORT: &str = "network.transport";
pub const NETWORK_TYPE: &str = "network.type";

pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
pub const HTTP_REQUEST_METHOD_ORIGINAL: &str = "http.request.method_original";
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
pub const HTTP_ROUTE: &str = "http.route";
pub const URL_FULL: &str = "url.full";
pub const URL_PATH: &str = "url.path";
pub const URL_QUERY: &str = "url.query";
pub const URL_SCHEME: &str = "url.scheme";
pub const URL_TEMPLATE: &str = "url.template";
pub const USER_AGENT_ORIGINAL: &str = "user_agent.original";

pub const DB_COLLECTION_NAME: &str = "db.collection.name";
pub const DB_SYSTEM_NAME: &str = "db.system.name";
pub const DB_NAMESPACE: &str = "db.namespace";
pub const DB_OPERATION_NAME: &str = "db.operation.name";
pub const DB_OPERATION_BATCH_SIZE: &str = "db.operation.batch.size";
pub const DB_OPERATION_PARAMETER_ID: &str = "db.operation.parameter.id";
pub const DB_OPERATION_PARAMETER_INDEX: &str = "db.operation.parameter.index";
pub const DB_QUERY_SUMMARY: &str = "db.query.summary";
pub const DB_QUERY_TEXT: &str = "db.query.text";
pub const DB_RESPONSE_STATUS_CODE: &str = "db.response.status_code";
pub const DB_STORED_PROCEDURE_NAME: &str = "db.stored_procedure.name";

pub const MESSAGING_SYSTEM: &str = "messaging.system";
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
pub const MESSAGING_DESTINATION_PARTITION_ID: &str = "messaging.destination.partition.id";
pub const MESSAGING_CONSUMER_GROUP_NAME: &str = "messaging.consumer.group.name";
pub const MESSAGING_CLIENT_ID: &str = "messaging.client.id";
pub const MESSAGING_BATCH_MESSAGE_COUNT: &str = "messaging.batch.message_count";
pub const MESSAGING_KAFKA_MESSAGE_KEY: &str = "messaging.kafka.message.key";
pub const MESSAGING_KAFKA_MESSAGE_TOMBSTONE: &str = "messaging.kafka.message.tombstone";
pub const MESSAGING_KAFKA_OFFSET: &str = "messaging.kafka.offset";

pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
pub const RPC_METHOD: &str = "rpc.method";
pub const RPC_METHOD_ORIGINAL: &str = "rpc.method_original";
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";

pub const TLS_ESTABLISHED: &str = "tls.established";
pub const TLS_NEXT_PROTOCOL: &str = "tls.next_protocol";
pub const TLS_PROTOCOL_NAME: &str = "tls.protocol.name";
pub const TLS_PROTOCOL_VERSION: &str = "tls.protocol.version";

pub const DNS_ANSWERS: &str = "dns.answers";
pub const DNS_QUESTION_NAME: &str = "dns.question.name";

/// Type of the records that were asked for, by its name, for example `AAAA`.
pub const WIRESPAN_DNS_QUESTION_TYPE: &str = "wirespan.dns.question_type";
/// Name of the response code, for example `NXDOMAIN`.
pub const WIRESPAN_DNS_RESPONSE_CODE: &str = "wirespan.dns.response_code";
/// Records in the answer section.
pub const WIRESPAN_DNS_ANSWERS: &str = "wirespan.dns.answers";
/// Application protocols that the client of a TLS connection offered.
pub const WIRESPAN_TLS_OFFERED: &str = "wirespan.tls.offered_protocols";
pub const MESSAGING_DESTINATION_TEMPLATE: &str = "messaging.destination.template";
pub const MESSAGING_DESTINATION_TEMPORARY: &str = "messaging.destination.temporary";
pub const MESSAGING_DESTINATION_ANONYMOUS: &str = "messaging.destination.anonymous";
pub const MESSAGING_DESTINATION_SUBSCRIPTION_NAME: &str = "messaging.destination.subscription.name";
pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
pub const MESSAGING_MESSAGE_CONVERSATION_ID: &str = "messaging.message.conversation_id";
pub const MESSAGING_MESSAGE_BODY_SIZE: &str = "messaging.message.body.size";
pub const MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
pub const MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG: &str = "messaging.rabbitmq.message.delivery_tag";

/// Messages of a call, where all of them could be counted: the conventions have no place for these numbers.
pub const WIRESPAN_RPC_REQUEST_MESSAGES: &str = "wirespan.rpc.request_messages";
pub const WIRESPAN_RPC_RESPONSE_MESSAGES: &str = "wirespan.rpc.response_messages";
/// Number of the declared exception that a call ended with: its name is not in the bytes (Thrift).
pub const WIRESPAN_THRIFT_EXCEPTION_FIELD: &str = "wirespan.thrift.exception_field";
/// What a call says of what is called, as it has no names: the object, the operation, the hash of the method in hex (Java RMI).
pub const WIRESPAN_RMI_OBJECT: &str = "wirespan.rmi.object";
pub const WIRESPAN_RMI_OPERATION: &str = "wirespan.rmi.operation";
pub const WIRESPAN_RMI_METHOD_HASH: &str = "wirespan.rmi.method_hash";
/// The script that a web server had run, what it wrote to the log, and how it ended, if not with zero (`FastCGI`).
pub const WIRESPAN_FASTCGI_SCRIPT: &str = "wirespan.fastcgi.script_name";
pub const WIRESPAN_FASTCGI_STDERR: &str = "wirespan.fastcgi.stderr";
pub const WIRESPAN_FASTCGI_EXIT_STATUS: &str = "wirespan.fastcgi.exit_status";
/// Whether some operations of a bulk failed (`OpenSearch`, Elasticsearch).
pub const WIRESPAN_BULK_ERRORS: &str = "wirespan.bulk.errors";
/// What the connection, or the stream, is from the response on.
pub const WIRESPAN_UPGRADE: &str = "wirespan.upgrade";
/// Version of the service that is called, where a protocol has one beside its name (Dubbo).
pub const WIRESPAN_RPC_SERVICE_VERSION: &str = "wirespan.rpc.service_version";
/// Whether a read found its key: `true` for a hit (Redis, Memcached).
pub const WIRESPAN_CACHE_HIT: &str = "wirespan.cache.hit";
/// Name of an error, where the status code is its number (`MongoDB`).
pub const WIRESPAN_DB_ERROR_NAME: &str = "wirespan.db.error_name";
/// SQLSTATE of an error, where the status code is the vendor's own number (`MySQL`).
pub const WIRESPAN_DB_SQLSTATE: &str = "wirespan.db.sqlstate";
pub const WIRESPAN_PROTOCOL: &str = "wirespan.protocol";
/// Why the span's parent is what it is.
pub const WIRESPAN_LINK: &str = "wirespan.link";
/// Why the span has no parent.
pub const WIRESPAN_LINK_REASON: &str = "wirespan.link.reason";
/// The link was made before the process's class was proven.
pub const WIRESPAN_LINK_PROVISIONAL: &str = "wirespan.link.provisional";
/// Formats of trace context in the request that disagree with the one that counts.
pub const WIRESPAN_CONTEXT_CONFLICT: &str = "wirespan.context.conflict";
pub const WIRESPAN_QUEUE_NS: &str = "wirespan.queue_ns";
pub const WIRESPAN_APP_NS: &str = "wirespan.app_ns";
pub const WIRESPAN_NETWORK_NS: &str = "wirespan.network_ns";
pub const WIRESPAN_CONNECT_NS: &str = "wirespan.connect_ns";
pub const WIRESPAN_READ_DELAY_NS: &str = "wirespan.read_delay_ns";
/// From the beginning of the request to the first event of a response that is a stream of events.
pub const WIRESPAN_FIRST_EVENT_NS: &str = "wirespan.first_event_ns";
pub const WIRESPAN_SRTT_NS: &str = "wirespan.srtt_ns";
pub const WIRESPAN_RETRANSMITS: &str = "wirespan.retransmits";
/// A message was larger than what was captured of it.
pub const WIRESPAN_TRUNCATED: &str = "wirespan.truncated";
/// What is missing, and why: `input_ended` (the exchange was still going on), `header_table` (fields were named on the connection before
/// anybody looked), `statement` (the same of what was prepared), `compression` (nobody decompressed it), `consumer` (who takes messages from
/// which queue was said before), `version` (so was the protocol's, which says where names stand).
pub const WIRESPAN_INCOMPLETE: &str = "wirespan.incomplete";
