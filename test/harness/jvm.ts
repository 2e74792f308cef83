/**
 * JVM clients (the Iceberg REST compatibility kit, Spark, Trino): class paths that Maven resolves once from the poms in
 * `test/clients/java`, kept under `.jvm`, and programs that run on them. Nothing is compiled ahead: the JDK runs a source
 * file as it is.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { takeLock } from "./lock.ts";
import { projectRoot, runProcess, type TestPlatform } from "./platform.ts";

const POMS = join(projectRoot, "test", "clients", "java");
const JDKS = "/usr/lib/jvm";
const RESOLVE_DEADLINE_MS = 10 * 60_000;

const runs = (command: string, args: readonly string[]): boolean => spawnSync(command, args).status === 0;

/** Why JVM clients cannot run here, or false: for `test(…, { skip: noJava })`. */
export const noJava: string | false =
  !(runs("java", ["--version"]) && runs("javac", ["--version"]) && runs("mvn", ["--version"])) &&
  "a JDK (17 or newer) or Maven is not installed";

/** The `java` of a JDK of that version or newer: the one on the path, that of JAVA_HOME, or one installed beside others. */
export function javaOf(version: number): string | undefined {
  const installed = existsSync(JDKS) ? readdirSync(JDKS).map((name) => join(JDKS, name)) : [];
  const homes = [...(process.env.JAVA_HOME === undefined ? [] : [process.env.JAVA_HOME]), ...installed];
  const candidates = homes.filter((home) => existsSync(join(home, "bin", "javac"))).map((home) => join(home, "bin", "java"));
  return ["java", ...candidates].find((java) => {
    const said = spawnSync(java, ["--version"], { encoding: "utf8" }).stdout ?? "";
    return Number(/^\S+ (\d+)/.exec(said)?.[1] ?? 0) >= version;
  });
}

const resolved = new Map<string, Promise<string>>();

/** The class path of a pom's dependencies. Maven asks its repository only for what this machine does not have yet. */
export function classPath(pom = "pom.xml"): Promise<string> {
  const known = resolved.get(pom) ?? resolve(join(POMS, pom));
  resolved.set(pom, known);
  return known;
}

async function resolve(pom: string): Promise<string> {
  const hash = createHash("sha256")
    .update(await readFile(pom))
    .digest("hex");
  const directory = join(projectRoot, ".jvm");
  const file = join(directory, `classpath-${hash.slice(0, 16)}`);
  if (existsSync(file)) return readFile(file, "utf8");
  await mkdir(directory, { recursive: true });
  // Maven's own store of files is not made for two that download the same at once.
  const lock = await takeLock(join(directory, "lock.sqlite"), RESOLVE_DEADLINE_MS);
  try {
    if (existsSync(file)) return await readFile(file, "utf8");
    const goal = ["dependency:build-classpath", `-Dmdep.outputFile=${file}.new`];
    await runProcess("mvn", ["--quiet", "--batch-mode", "--file", pom, ...goal], { timeoutMs: RESOLVE_DEADLINE_MS });
    await rename(`${file}.new`, file);
    return await readFile(file, "utf8");
  } finally {
    lock.close();
  }
}

/** Options with which a JVM finds the platform's host names, which its resolver may not know, and stays small. */
export async function jvmOptions(platform: TestPlatform): Promise<string[]> {
  const hosts = join(platform.dir, "..", "jvm-hosts");
  // With such a file the JVM asks no other resolver, so this machine's own names are in it too.
  const urls = [platform.host("catalog"), platform.ready.s3.endpoint];
  const names = [...new Set([...urls.map((url) => new URL(url).hostname), hostname(), "localhost"])];
  await writeFile(hosts, names.map((name) => `127.0.0.1 ${name}\n`).join(""));
  return [`-Djdk.net.hosts.file=${hosts}`, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx1g"];
}
