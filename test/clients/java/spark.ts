/** Spark with the Iceberg runtime on a lake, by the settings that the documentation gives (Spark, PySpark and Scala alike). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { classPath, jvmOptions } from "../../harness/jvm.ts";
import { projectRoot, type TestPlatform } from "../../harness/platform.ts";
import type { Lake } from "../pyiceberg/lake.ts";

export interface Spark {
  /** Rows of a statement; rejects with Spark's error. The catalog is `r2dc` and the default. */
  // biome-ignore lint/suspicious/noExplicitAny: rows have as many shapes as there are statements.
  sql(statement: string): Promise<any[]>;
  /** Ends the session. */
  stop(): Promise<void>;
}

/** What Spark reaches into of the JDK; its own launcher passes the same. */
const OPENED = [
  "java.lang",
  "java.lang.invoke",
  "java.net",
  "java.nio",
  "java.util",
  "java.util.concurrent",
  "sun.nio.ch",
  "sun.util.calendar",
];

export async function startSpark(platform: TestPlatform, lake: Lake): Promise<Spark> {
  const catalog = "spark.sql.catalog.r2dc";
  const settings = {
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    [catalog]: "org.apache.iceberg.spark.SparkCatalog",
    [`${catalog}.type`]: "rest",
    [`${catalog}.uri`]: lake.uri,
    [`${catalog}.warehouse`]: lake.warehouse,
    [`${catalog}.token`]: platform.ready.api_token,
    [`${catalog}.header.X-Iceberg-Access-Delegation`]: "vended-credentials",
    [`${catalog}.s3.remote-signing-enabled`]: "false",
    "spark.sql.defaultCatalog": "r2dc",
    // From here on: a small session that answers soon, and the same on every machine.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.jsonGenerator.ignoreNullFields": "false",
    "spark.sql.warehouse.dir": join(platform.dir, "..", "spark-warehouse"),
    "spark.local.dir": join(platform.dir, "..", "spark"),
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
  };
  const options = [...(await jvmOptions(platform)), ...OPENED.map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`)];
  const program = join(projectRoot, "test", "clients", "java", "SparkShell.java");
  const child = spawn("java", [...options, "-cp", await classPath(), program, JSON.stringify(settings)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "" },
  });
  const ended = once(child, "close");
  let said = "";
  child.stderr.on("data", (data: Buffer) => {
    said = (said + data.toString()).slice(-20_000);
  });
  // A session that has ended tells so by its last answer.
  child.stdin.on("error", () => undefined);
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let turn: Promise<unknown> = Promise.resolve();
  return {
    sql(statement) {
      const answer = turn.then(async () => {
        child.stdin.write(`${JSON.stringify(statement)}\n`);
        const { value, done } = await answers.next();
        if (done) throw new Error(`Spark ended:\n${said}`);
        const result = JSON.parse(value as string) as unknown[] | { error: string };
        if (!Array.isArray(result)) throw new Error(`${result.error}\n  in: ${statement}`);
        return result;
      });
      turn = answer.catch(() => undefined);
      return answer;
    },
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}
