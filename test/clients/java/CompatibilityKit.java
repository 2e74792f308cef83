import java.io.PrintStream;
import java.util.List;
import java.util.UUID;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.rest.RESTCompatibilityKitCatalogTests;
import org.apache.iceberg.rest.RESTCompatibilityKitViewCatalogTests;
import org.junit.jupiter.api.AfterEach;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.discovery.DiscoverySelectors;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * Runs the Iceberg REST compatibility kit against the catalog of the environment (CATALOG_URI, …; the kit's own names) and
 * prints a line for each of its cases: how it ended, its name, and the first line of what went wrong, with tabs between.
 */
public class CompatibilityKit {
  public static void main(String[] args) {
    // Whatever the kit and its libraries print goes elsewhere.
    PrintStream results = System.out;
    System.setOut(System.err);
    LauncherDiscoveryRequest request =
        LauncherDiscoveryRequestBuilder.request()
            .selectors(List.of(DiscoverySelectors.selectClass(Tables.class), DiscoverySelectors.selectClass(Views.class)))
            .configurationParameter("rck.local", "false")
            .build();
    TestExecutionListener listener =
        new TestExecutionListener() {
          @Override
          public void executionSkipped(TestIdentifier test, String reason) {
            print("skipped", test, reason);
          }

          @Override
          public void executionFinished(TestIdentifier test, TestExecutionResult result) {
            String message = result.getThrowable().map(CompatibilityKit::firstLines).orElse("");
            if (test.isTest() || !message.isEmpty()) print(result.getStatus().name().toLowerCase(), test, message);
          }

          private void print(String status, TestIdentifier test, String message) {
            results.println(status + "\t" + test.getDisplayName().replaceFirst("\\(.*", "") + "\t" + message);
          }
        };
    LauncherFactory.create().execute(request, listener);
    // Threads of clients would keep the process alive.
    System.exit(0);
  }

  private static String firstLines(Throwable failure) {
    String text = String.valueOf(failure.getMessage()).replaceAll("\\s+", " ").trim();
    return failure.getClass().getSimpleName() + ": " + text.substring(0, Math.min(text.length(), 500));
  }
}

/** The cases about tables. Where they choose a location it must be in the catalog's bucket, and new for each of them. */
class Tables extends RESTCompatibilityKitCatalogTests {
  private final String chosen = "s3://" + System.getenv("BUCKET") + "/chosen/" + UUID.randomUUID();

  @Override
  protected String baseTableLocation(TableIdentifier identifier) {
    return chosen + "/" + identifier.name();
  }

  /** Cases leave namespaces behind: the kit is used to a new catalog for each. */
  @AfterEach
  void removeNamespaces() {
    removeNamespaces(Namespace.empty());
  }

  private void removeNamespaces(Namespace parent) {
    for (Namespace namespace : catalog().listNamespaces(parent)) {
      removeNamespaces(namespace);
      catalog().listTables(namespace).forEach(catalog()::dropTable);
      catalog().dropNamespace(namespace);
    }
  }

  @Override
  protected boolean supportsNestedNamespaces() {
    return true;
  }

  @Override
  protected boolean supportsNamesWithSlashes() {
    return true;
  }

  @Override
  protected boolean supportsNamesWithDot() {
    return true;
  }
}

/** The cases about views. */
class Views extends RESTCompatibilityKitViewCatalogTests {}
