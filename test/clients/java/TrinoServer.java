import io.trino.server.Server;

/** Trino's server as its launcher starts it; the only argument is the version that it tells. */
public class TrinoServer {
  public static void main(String[] args) {
    new Server().start(args[0]);
  }
}
