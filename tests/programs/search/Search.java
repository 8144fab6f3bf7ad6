import java.nio.file.Files;
import java.nio.file.Path;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One node of OpenSearch: `Search PORT TRANSPORT_PORT DIRECTORY`, where it makes a file `ready` when it is that. */
public class Search {
    public static void main(String[] args) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("http.port", args[0]);
            settings.put("transport.port", args[1]);
            settings.put("network.host", "127.0.0.1");
            settings.put("discovery.type", "single-node");
            settings.put("cluster.routing.allocation.disk.threshold_enabled", "false");
        });
        runner.build(OpenSearchRunner.newConfigs().numOfNode(1).clusterName("test").basePath(args[2]).disableESLogger());
        runner.ensureYellow();
        Files.createFile(Path.of(args[2], "ready"));
        Thread.currentThread().join();
    }
}
