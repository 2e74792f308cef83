/**
 * Load by HTTP/1.1 keep-alive connections, each with one request under way: prebuilt requests over plain sockets, so that
 * the generator costs as little as possible of the machine that the server shares. A process of its own:
 * `node http-load.ts '<JSON of Load>'` prints the JSON of LoadResult.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";

export interface Load {
  readonly port: number;
  readonly host: string;
  readonly path: string;
  readonly connections: number;
  readonly durationMs: number;
  /** Bodies are sent in turn by POST; without any, the requests are GET. */
  readonly bodies: readonly string[];
}

export interface LoadResult {
  readonly requests: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Runs the load in a child process. */
export async function httpLoad(load: Load): Promise<LoadResult> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(load));
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the load generator ended with ${code}`);
  return JSON.parse(Buffer.concat(chunks).toString()) as LoadResult;
}

async function main(): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const load = JSON.parse(Buffer.concat(chunks).toString()) as Load;
  const requests = load.bodies.map((body) => {
    const bytes = Buffer.from(body);
    const head = `POST ${load.path} HTTP/1.1\r\nHost: ${load.host}\r\nContent-Type: application/json\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    return { bytes: Buffer.concat([Buffer.from(head), bytes]), size: bytes.length };
  });
  if (requests.length === 0) requests.push({ bytes: Buffer.from(`GET ${load.path} HTTP/1.1\r\nHost: ${load.host}\r\n\r\n`), size: 0 });
  const latencies: number[] = [];
  let [bytes, turn] = [0, 0];
  const started = performance.now();
  const until = started + load.durationMs;
  await Promise.all(
    Array.from({ length: load.connections }, async () => {
      const socket = connect({ port: load.port, host: "127.0.0.1", noDelay: true });
      await once(socket, "connect");
      await new Promise<void>((resolve, reject) => {
        let sent = 0;
        let size = 0;
        const send = (): void => {
          const request = requests[turn++ % requests.length] as (typeof requests)[number];
          sent = performance.now();
          size = request.size;
          socket.write(request.bytes);
        };
        socket.on("error", reject);
        socket.on("close", () => reject(new Error("the server closed the connection")));
        let answer = "";
        socket.on("data", (data) => {
          answer += data.toString("latin1");
          if (!isWhole(answer)) return;
          if (!answer.startsWith("HTTP/1.1 200")) return reject(new Error(answer));
          answer = "";
          const now = performance.now();
          latencies.push(now - sent);
          bytes += size;
          if (now < until) return send();
          socket.removeAllListeners("close").destroy();
          resolve();
        });
        send();
      });
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (q: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0;
  process.stdout.write(
    JSON.stringify({ requests: latencies.length, bytes, seconds, p50Ms: at(0.5), p99Ms: at(0.99) } satisfies LoadResult),
  );
}

/** Small answers come in one piece or in two: head and body. */
function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(answer);
  return length === null ? answer.endsWith("0\r\n\r\n") : answer.length >= end + 4 + Number(length[1]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
