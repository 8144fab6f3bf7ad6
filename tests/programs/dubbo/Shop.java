// Apache Dubbo at both ends: `java -cp LIB/* Shop.java serve PROTOCOL PORT`, then `call PROTOCOL PORT`. PROTOCOL is `dubbo` or `tri`.
//
// A call places an order, one passes on a trace context in its attachments, one fails, one is answered by nobody, and one asks for a service
// that is not there.
import java.util.List;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcContext;

public class Shop {
    static final String SECRET = "c4n4ry-in-a-coal-mine";
    static final String TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";


    public interface Orders {
        String place(String customer, List<String> items, int[] counts, long total);
        String refuse(String customer);
        void note(String text);
    }

    public interface Missing {
        String anything();
    }

    public static class Desk implements Orders {
        public String place(String customer, List<String> items, int[] counts, long total) { return customer; }
        public String refuse(String customer) { throw new IllegalStateException(customer); }
        public void note(String text) {}
    }

    public static void main(String[] args) throws Exception {
        var application = new ApplicationConfig("shop");
        application.setQosEnable(false);
        application.setSerializeCheckStatus("DISABLE");
        application.setEnableFileCache(false);
        var bootstrap = DubboBootstrap.getInstance().application(application);
        if (args[0].equals("serve")) serve(bootstrap, args[1], Integer.parseInt(args[2]));
        else call(bootstrap, args[1], args[2]);
    }

    static void serve(DubboBootstrap bootstrap, String protocol, int port) {
        var service = new ServiceConfig<Orders>();
        service.setInterface(Orders.class);
        service.setRef(new Desk());
        service.setVersion("1.2.0");
        service.setRegister(false);
        var config = new ProtocolConfig(protocol, port);
        config.setHost("127.0.0.1");
        config.setSerialization("hessian2");
        bootstrap.registry(new org.apache.dubbo.config.RegistryConfig("N/A")).protocol(config).service(service).start().await();
    }

    static <T> ReferenceConfig<T> reference(Class<T> type, String protocol, String port) {
        var reference = new ReferenceConfig<T>();
        reference.setInterface(type);
        reference.setVersion("1.2.0");
        reference.setUrl(protocol + "://127.0.0.1:" + port + "/" + type.getName() + "?serialization=hessian2&prefer.serialization=hessian2");
        reference.setTimeout(20_000);
        reference.setRetries(0);
        reference.setCheck(false);
        return reference;
    }

    static void call(DubboBootstrap bootstrap, String protocol, String port) throws Exception {
        var orders = reference(Orders.class, protocol, port);
        if (protocol.equals("dubbo")) {
            var oneWay = new MethodConfig();
            oneWay.setName("note");
            oneWay.setReturn(false);
            orders.setMethods(List.of(oneWay));
        }
        var missing = reference(Missing.class, protocol, port);
        bootstrap.registry(new org.apache.dubbo.config.RegistryConfig("N/A")).reference(orders).reference(missing).start();
        var desk = orders.get();
        desk.place(SECRET, List.of(SECRET, "b"), new int[] {1, 2}, 1L << 40);
        RpcContext.getClientAttachment().setAttachment("traceparent", TRACEPARENT).setAttachment("token", SECRET);
        desk.place(SECRET, List.of(SECRET), new int[] {1}, 7);
        expectFailure(() -> desk.refuse(SECRET));
        desk.note(SECRET);
        expectFailure(() -> missing.get().anything());
        // What nobody answers is on its way.
        Thread.sleep(500);
        System.exit(0);
    }

    static void expectFailure(Runnable call) {
        try {
            call.run();
        } catch (RuntimeException expected) {
            return;
        }
        throw new IllegalStateException("it did not fail");
    }
}
