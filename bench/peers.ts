/**
 * Other people's servers that take events durably, started beside the platform for a comparison. None of them is installed
 * with this project: FREEHOLD_BENCH_PEERS names a directory that holds those there are, and docs/benchmarks.md says how to
 * make it:
 *
 *     nats-server      the program
 *     kafka/*.jar      the broker and what it needs
 *     benthos          a program of Benthos with its `io` and `pure` components
 *
 * Each runs with the durability of ours, an fsync before the answer, as far as it has one; what it lacks is in its note.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { kafkaCreateTopic, natsHello, natsInbox, natsPublish, natsReply, TOPIC, type WireName } from "./wires.ts";

export interface Peer {
  readonly name: string;
  readonly version: string;
  readonly note: string;
  readonly pid: number;
  readonly port: number;
  readonly wire: WireName;
  /** Of HTTP. */
  readonly host: string;
  readonly path: string;
  /** What a request holds of some events. */
  body(events: readonly unknown[]): string;
}

type After = (stop: () => Promise<void>) => void;
const START_MS = 60_000;
const asArray = (events: readonly unknown[]): string => JSON.stringify(events);

/** Those of the directory, each with its data in a folder of `directory`. */
export async function startPeers(directory: string, after: After): Promise<Peer[]> {
  const { FREEHOLD_BENCH_PEERS: programs } = process.env;
  if (programs === undefined) return [];
  const peers: Peer[] = [];
  const folder = async (name: string): Promise<string> => {
    await mkdir(join(directory, name));
    return join(directory, name);
  };
  const [nats, kafka, benthos] = ["nats-server", "kafka", "benthos"].map((name) => join(programs, name)) as [string, string, string];
  if (existsSync(nats)) peers.push(await startNats(nats, await folder("nats"), after));
  if (existsSync(kafka)) peers.push(await startKafka(kafka, await folder("kafka"), after));
  if (existsSync(benthos)) peers.push(await startBenthos(benthos, await folder("benthos"), after));
  return peers;
}

/** The minimal server of `ingest-peer.ts`. */
export async function startMinimal(file: string, after: After): Promise<Peer> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "ingest-peer.ts"), file], { stdio: ["ignore", "pipe", "inherit"] });
  after(() => ended(child));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return {
    name: "minimal",
    version: "",
    note: "the minimal server on Node: parses, appends, group fdatasync",
    pid: child.pid as number,
    port: Number(line.toString()),
    wire: "http",
    host: "minimal",
    path: "/",
    body: asArray,
  };
}

async function startNats(program: string, directory: string, after: After): Promise<Peer> {
  const config = join(directory, "nats.conf");
  await writeFile(config, `jetstream { store_dir: ${JSON.stringify(directory)}, sync_interval: always }\nmax_payload: 2MB\n`);
  const child = run(program, ["-c", config, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", directory], after);
  const file = join(directory, `nats-server_${child.pid}.ports`);
  await until("NATS listens", () => existsSync(file));
  const [url] = (JSON.parse(await readFile(file, "utf8")) as { nats: string[] }).nats as [string];
  const port = Number(new URL(url).port);
  const inbox = natsInbox();
  const socket = await connected(port);
  socket.write(natsHello(inbox));
  socket.write(natsPublish(`$JS.API.STREAM.CREATE.${TOPIC}`, inbox, JSON.stringify({ name: TOPIC, subjects: [TOPIC], storage: "file" })));
  await answer(socket, (received) => natsReply(received) !== undefined);
  socket.destroy();
  const version = /v([\d.]+)/.exec(spawnSync(program, ["--version"], { encoding: "utf8" }).stdout)?.[1] ?? "";
  return {
    name: "NATS JetStream",
    version,
    note: "sync_interval always; a request is one message, not looked into",
    pid: child.pid as number,
    port,
    wire: "nats",
    host: "",
    path: "",
    body: (events) => (events.length === 1 ? JSON.stringify(events[0]) : asArray(events)),
  };
}

async function startKafka(jars: string, directory: string, after: After): Promise<Peer> {
  const [port, controller] = [await freePort(), await freePort()];
  const config = join(directory, "server.properties");
  const settings = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    "controller.listener.names": "CONTROLLER",
    "log.dirs": join(directory, "logs"),
    "log.flush.interval.messages": 1,
    "message.max.bytes": 2_000_000,
    "offsets.topic.replication.factor": 1,
  };
  await writeFile(
    config,
    Object.entries(settings)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(""),
  );
  const java = ["-Xmx1g", "-cp", join(jars, "*")];
  const formatted = spawnSync("java", [...java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", config], {
    encoding: "utf8",
  });
  if (formatted.status !== 0) throw new Error(`Kafka's storage: ${formatted.stdout}${formatted.stderr}`);
  const child = run("java", [...java, "kafka.Kafka", config], after);
  let socket: Socket | undefined;
  await until("Kafka listens", async () => {
    socket = await connected(port).catch(() => undefined);
    return socket !== undefined;
  });
  socket?.write(kafkaCreateTopic());
  await answer(socket as Socket, (received) => received.length >= 4 && received.length >= 4 + received.readInt32BE(0));
  socket?.destroy();
  const [jar = ""] = (await readdir(jars)).filter((name) => /^kafka_2\.\d+-/.test(name));
  return {
    name: "Kafka",
    version: /-([\d.]+)\.jar$/.exec(jar)?.[1] ?? "",
    note: "KRaft, one node, one partition, flush.messages 1, acks all; events are not looked into",
    pid: child.pid as number,
    port,
    wire: "kafka",
    host: "",
    path: "",
    body: asArray,
  };
}

async function startBenthos(program: string, directory: string, after: After): Promise<Peer> {
  const port = await freePort();
  const config = join(directory, "benthos.json");
  const settings = {
    http: { enabled: false },
    logger: { level: "ERROR" },
    input: { http_server: { address: `127.0.0.1:${port}`, path: "/post", allowed_verbs: ["POST"] } },
    pipeline: { threads: 1, processors: [{ unarchive: { format: "json_array" } }] },
    output: { file: { path: join(directory, "events.ndjson"), codec: "lines" } },
  };
  await writeFile(config, JSON.stringify(settings));
  const child = run(program, ["run", config], after);
  await until("Benthos listens", () =>
    connected(port).then(
      (socket) => socket.destroy() !== undefined,
      () => false,
    ),
  );
  return {
    name: "Benthos",
    version:
      /benthos\/v4 v([\d.]+)|\tgithub.com\/redpanda-data\/benthos\/v4\tv([\d.]+)/.exec(goModules(program))?.slice(1).find(Boolean) ?? "",
    note: "http_server to file: answered when written, without fsync, which it does not have",
    pid: child.pid as number,
    port,
    wire: "http",
    host: "benthos",
    path: "/post",
    body: asArray,
  };
}

/** The modules that a Go program was made of; empty without Go. */
const goModules = (program: string): string => spawnSync("go", ["version", "-m", program], { encoding: "utf8" }).stdout ?? "";

function run(program: string, args: readonly string[], after: After): ChildProcess {
  const child = spawn(program, args, { stdio: "ignore" });
  after(() => ended(child));
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

async function connected(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  return socket;
}

async function answer(socket: Socket, isWhole: (received: Buffer) => boolean): Promise<void> {
  for (let received = Buffer.alloc(0); !isWhole(received); ) {
    const [data] = (await once(socket, "data", { signal: AbortSignal.timeout(START_MS) })) as [Buffer];
    received = Buffer.concat([received, data]);
  }
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + START_MS; Date.now() < end; await sleep(100)) if (await condition()) return;
  throw new Error(`not within ${START_MS} ms: ${what}`);
}
