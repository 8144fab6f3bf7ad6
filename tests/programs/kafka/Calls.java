// Apache Kafka's own client: `java -cp LIB/* Calls.java BROKER WHAT`, for each WHAT in order.
//
// create: makes the topics `orders` and `packed`. send: one message, then three at once, then a tombstone, to `orders`, the first with trace
// context; two compressed ones to `packed`. take N: polls both topics as the group `billing` until N messages are there, and commits.
// within: sends one message in a transaction. missing: sends to a topic that nobody made. quiet: polls for a while where there is nothing.
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Calls {
    static final String SECRET = "c4n4ry-in-a-coal-mine";
    static final String TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    static String broker;

    public static void main(String[] args) throws Exception {
        broker = args[0];
        for (int i = 1; i < args.length; i++) {
            switch (args[i]) {
                case "create" -> create();
                case "send" -> send();
                case "take" -> take(Integer.parseInt(args[++i]));
                case "within" -> within();
                case "missing" -> missing();
                case "quiet" -> quiet();
                default -> throw new IllegalArgumentException(args[i]);
            }
        }
    }

    static KafkaProducer<String, String> producer(Map<String, Object> more) {
        var all = new java.util.HashMap<String, Object>(Map.of("bootstrap.servers", broker, "client.id", "shop", "linger.ms", "200", "enable.metrics.push", "false"));
        all.putAll(more);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    static ProducerRecord<String, String> order(String key, String value) {
        return new ProducerRecord<>("orders", 0, key, value);
    }

    static void create() throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", broker, "client.id", "shop-setup", "enable.metrics.push", "false"))) {
            var topics = List.of(new NewTopic("orders", Optional.of(1), Optional.empty()), new NewTopic("packed", Optional.of(1), Optional.empty()));
            admin.createTopics(topics).all().get();
        }
    }

    static void send() throws Exception {
        try (var producer = producer(Map.of())) {
            var first = order("order-1", SECRET);
            first.headers().add("traceparent", TRACEPARENT.getBytes(StandardCharsets.UTF_8)).add("token", SECRET.getBytes(StandardCharsets.UTF_8));
            producer.send(first).get();
            for (int i = 2; i <= 4; i++) producer.send(order("order-" + i, SECRET));
            producer.flush();
            producer.send(order("customer@example.com", null)).get();
        }
        try (var producer = producer(Map.of("compression.type", "gzip"))) {
            for (int i = 0; i < 2; i++) producer.send(new ProducerRecord<>("packed", 0, "k", SECRET.repeat(100)));
            producer.flush();
        }
    }

    static KafkaConsumer<String, String> consumer() {
        return new KafkaConsumer<>(
            Map.of("bootstrap.servers", broker, "client.id", "billing-1", "group.id", "billing", "auto.offset.reset", "earliest", "enable.auto.commit", "false", "enable.metrics.push", "false"),
            new StringDeserializer(), new StringDeserializer());
    }

    static void take(int wanted) {
        try (var consumer = consumer()) {
            consumer.subscribe(List.of("orders", "packed"));
            for (int have = 0; have < wanted; ) have += consumer.poll(Duration.ofSeconds(1)).count();
            consumer.commitSync();
        }
    }

    static void within() throws Exception {
        try (var producer = producer(Map.of("transactional.id", SECRET))) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(order("order-5", SECRET));
            producer.commitTransaction();
        }
    }

    static void missing() throws Exception {
        try (var producer = producer(Map.of("max.block.ms", "1000"))) {
            producer.send(new ProducerRecord<>("nowhere", SECRET)).get();
            throw new IllegalStateException("there is such a topic");
        } catch (java.util.concurrent.ExecutionException | org.apache.kafka.common.errors.TimeoutException expected) {
        }
    }

    static void quiet() {
        try (var consumer = consumer()) {
            consumer.assign(List.of(new org.apache.kafka.common.TopicPartition("orders", 0)));
            consumer.seekToEnd(List.of());
            for (int i = 0; i < 3; i++) consumer.poll(Duration.ofMillis(700));
        }
    }
}
