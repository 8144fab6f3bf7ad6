import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** A way to call the backend. */
interface Call {
  void make(String id, int number) throws Exception;

  /** In the thread of the caller; connections are kept. */
  static Call blocking(String backend) {
    return (id, number) -> {
      HttpURLConnection connection = (HttpURLConnection) uri(backend, id, number).toURL().openConnection();
      // Only an answer that was read to its end gives its connection back.
      try (InputStream body = connection.getInputStream()) {
        body.readAllBytes();
      }
    };
  }

  /** By the JDK's newer client, whose own threads send and receive. */
  static Call httpClient(String backend) {
    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    return (id, number) -> {
      HttpRequest request = HttpRequest.newBuilder(uri(backend, id, number)).build();
      if (client.send(request, BodyHandlers.ofByteArray()).statusCode() != 200) {
        throw new IOException("the backend failed");
      }
    };
  }

  private static URI uri(String backend, String id, int number) {
    return URI.create(backend + "/b/" + id + "/" + number);
  }
}
