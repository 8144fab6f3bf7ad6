import java.rmi.NotBoundException;
import java.rmi.Remote;
import java.rmi.RemoteException;
import java.rmi.registry.LocateRegistry;
import java.rmi.registry.Registry;
import java.rmi.server.UnicastRemoteObject;

/** Java RMI: `Shop PORT` serves with a registry on that port, `Shop PORT ask` asks. */
public class Shop {
    /** What is called. */
    public interface Orders extends Remote {
        String find(int id) throws RemoteException, NoSuchOrder;

        byte[] picture(byte[] question) throws RemoteException;
    }

    /** What find may throw. */
    public static class NoSuchOrder extends Exception {
        NoSuchOrder(String message) {
            super(message);
        }
    }

    static class Served implements Orders {
        public String find(int id) throws NoSuchOrder {
            if (id == 404) {
                throw new NoSuchOrder("order " + id);
            }
            return "shoe";
        }

        public byte[] picture(byte[] question) {
            return new byte[100_000];
        }
    }

    private static Remote kept;

    public static void main(String[] args) throws Exception {
        System.setProperty("java.rmi.server.hostname", "127.0.0.1");
        int port = Integer.parseInt(args[0]);
        if (args.length == 1) {
            kept = new Served();
            Remote stub = UnicastRemoteObject.exportObject(kept, 0);
            LocateRegistry.createRegistry(port).rebind("orders", stub);
            return;
        }
        Registry registry = LocateRegistry.getRegistry("127.0.0.1", port);
        Orders orders = (Orders) registry.lookup("orders");
        System.out.println(orders.find(7));
        try {
            orders.find(404);
        } catch (NoSuchOrder expected) {
            System.out.println("missing");
        }
        System.out.println(orders.picture(new byte[50_000]).length);
        System.out.println(orders.find(8));
        try {
            registry.lookup("nothing");
        } catch (NotBoundException expected) {
            System.out.println("unbound");
        }
    }
}
