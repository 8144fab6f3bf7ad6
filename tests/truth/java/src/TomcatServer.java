import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

/** Tomcat, embedded, with its usual pool. */
final class TomcatServer {
  static void serve(int port, Call call) throws Exception {
    Tomcat tomcat = new Tomcat();
    String dir = System.getProperty("java.io.tmpdir");
    tomcat.setBaseDir(dir);
    Connector connector = new Connector();
    connector.setPort(port);
    connector.setProperty("address", "127.0.0.1");
    connector.setProperty("maxKeepAliveRequests", "-1");
    tomcat.setConnector(connector);
    Context context = tomcat.addContext("", dir);
    Tomcat.addServlet(context, "work", new Work(call));
    context.addServletMappingDecoded("/w/*", "work");
    tomcat.start();
  }

  private static final class Work extends HttpServlet {
    private final transient Call call;

    Work(Call call) {
      this.call = call;
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException, ServletException {
      try {
        call.make(request.getPathInfo().substring(1), 1);
      } catch (Exception error) {
        throw new ServletException(error);
      }
      response.setContentLength(2);
      response.getWriter().write("ok");
    }
  }
}
