import reactor.core.publisher.Mono;
import reactor.netty.http.client.HttpClient;
import reactor.netty.http.server.HttpServer;
import reactor.netty.resources.ConnectionProvider;

/** reactor-netty at both ends. */
final class ReactorServer {
  /** Connections of the client's pool: as many as requests at a time. */
  private static final int CONNECTIONS = 64;

  static void serve(int port, String backend) {
    HttpClient client = HttpClient.create(ConnectionProvider.create("backend", CONNECTIONS)).baseUrl(backend);
    HttpServer.create()
        .host("127.0.0.1")
        .port(port)
        .route(routes -> routes.get("/w/{id}", (request, response) -> response.sendString(call(client, request.param("id")))))
        .bindNow()
        .onDispose()
        .block();
  }

  private static Mono<String> call(HttpClient client, String id) {
    return client.get().uri("/b/" + id + "/1").responseContent().aggregate().asString();
  }
}
