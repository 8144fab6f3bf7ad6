import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** The Java workloads of the truth rig: PORT BACKEND DATABASE VARIANT. GET /w/ID makes the variant's call and answers "ok". */
public final class Server {
  private static final int POOL = 16;
  /** Connections that wait to be accepted. */
  private static final int BACKLOG = 256;

  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(args[0]);
    String backend = "http://127.0.0.1:" + args[1];
    switch (args[3]) {
      case "threads" -> serve(port, task -> new Thread(task).start(), Call.blocking(backend));
      case "pool" -> serve(port, Executors.newFixedThreadPool(POOL), Call.blocking(backend));
      case "handoff" -> serve(port, Executors.newFixedThreadPool(POOL), handedOver(Call.blocking(backend)));
      case "httpclient" -> serve(port, Executors.newFixedThreadPool(POOL), Call.httpClient(backend));
      case "virtual" -> serve(port, virtualThreads(), Call.blocking(backend));
      case "virtual-httpclient" -> serve(port, virtualThreads(), Call.httpClient(backend));
      case "future" -> serve(port, Executors.newFixedThreadPool(POOL), inFuture(Call.blocking(backend)));
      case "tomcat" -> TomcatServer.serve(port, Call.blocking(backend));
      case "reactor" -> ReactorServer.serve(port, backend);
      case "netty", "netty-timer" -> NettyServer.serve(port, Integer.parseInt(args[1]), args[3].equals("netty-timer"));
      default -> throw new IllegalArgumentException(args[3]);
    }
  }

  /** The JDK's own server. */
  private static void serve(int port, Executor executor, Call call) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), BACKLOG);
    server.setExecutor(executor);
    server.createContext("/w/", exchange -> answer(exchange, call));
    server.start();
  }

  private static void answer(HttpExchange exchange, Call call) throws IOException {
    int status = 200;
    byte[] body = "ok".getBytes(StandardCharsets.US_ASCII);
    try {
      call.make(exchange.getRequestURI().getPath().substring("/w/".length()), 1);
    } catch (Exception error) {
      status = 500;
      body = error.toString().getBytes(StandardCharsets.UTF_8);
    }
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  /** Another pool makes the call while the request's thread waits. */
  private static Call handedOver(Call call) {
    ExecutorService others = Executors.newFixedThreadPool(POOL);
    return (id, number) ->
        others.submit(
            () -> {
              call.make(id, number);
              return null;
            }).get();
  }

  /** The same with a future that is completed there, and on which another depends. */
  private static Call inFuture(Call call) {
    ExecutorService others = Executors.newFixedThreadPool(POOL);
    return (id, number) ->
        CompletableFuture.supplyAsync(
                () -> {
                  try {
                    call.make(id, number);
                  } catch (Exception error) {
                    throw new CompletionException(error);
                  }
                  return id;
                },
                others)
            .thenApply(String::length)
            .join();
  }

  /** By name: this is compiled for a JDK that has none. */
  private static Executor virtualThreads() throws ReflectiveOperationException {
    return (Executor) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
  }
}
