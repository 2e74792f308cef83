import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/**
 * Spark SQL by lines: the only argument is the session's settings as a JSON object; each line of input is a statement as a
 * JSON string, each line of output its rows as a JSON list, or an object with the error.
 */
public class SparkShell {
  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    ObjectMapper json = new ObjectMapper();
    SparkSession.Builder builder = SparkSession.builder().master("local[2]").appName("freehold");
    Map<String, String> settings = json.readValue(args[0], new TypeReference<Map<String, String>>() {});
    settings.forEach(builder::config);
    SparkSession spark = builder.getOrCreate();
    BufferedReader statements = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = statements.readLine(); line != null; line = statements.readLine()) {
      try {
        Dataset<Row> rows = spark.sql(json.readValue(line, String.class));
        List<String> texts = rows.columns().length == 0 ? List.of() : rows.toJSON().collectAsList();
        answers.println("[" + String.join(",", texts) + "]");
      } catch (Exception failure) {
        answers.println(json.writeValueAsString(Map.of("error", failure.getClass().getSimpleName() + ": " + failure.getMessage())));
      }
    }
    spark.stop();
  }
}
