/**
 * Load by connections, each with one request under way, over HTTP/1.1 keep-alive or a broker's own protocol (`wires.ts`):
 * prebuilt requests over plain sockets, so that the generator costs as little as possible of the machine that the server
 * shares. A process of its own, which reads the JSON of Load and prints the JSON of LoadResult.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { type Wire, type WireName, wires } from "./wires.ts";

export interface Load {
  readonly port: number;
  readonly host: string;
  readonly path: string;
  readonly connections: number;
  readonly durationMs: number;
  /** Bodies are sent in turn by POST; without any, the requests are GET. */
  readonly bodies: readonly string[];
  /** Absent: HTTP. */
  readonly wire?: WireName;
  /** Requests a second of all connections together; absent: as many as there are answers. */
  readonly perSecond?: number;
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
  const latencies: number[] = [];
  const bodies = load.bodies.length > 0 ? load.bodies : [undefined];
  let [bytes, turn] = [0, 0];
  const connections = await Promise.all(
    Array.from({ length: load.connections }, async () => {
      const wire = wires[load.wire ?? "http"](load.host, load.path);
      const requests = bodies.map((body) => ({
        bytes: body === undefined ? Buffer.from(`GET ${load.path} HTTP/1.1\r\nHost: ${load.host}\r\n\r\n`) : wire.request(body),
        size: body === undefined ? 0 : Buffer.byteLength(body),
      }));
      return { wire, requests, socket: await connected(load.port, wire) };
    }),
  );
  const started = performance.now();
  const until = started + load.durationMs;
  await Promise.all(
    connections.map(
      ({ wire, requests, socket }) =>
        new Promise<void>((resolve, reject) => {
          let [sent, size] = [0, 0];
          let received = Buffer.alloc(0);
          const send = (): void => {
            const request = requests[turn++ % requests.length] as (typeof requests)[number];
            size = request.size;
            if (load.perSecond === undefined) {
              sent = performance.now();
              socket.write(request.bytes);
              return;
            }
            // From when it was due: what waits behind a slow answer was slow, too.
            sent = started + (turn / load.perSecond) * 1000;
            setTimeout(() => socket.write(request.bytes), Math.max(0, sent - performance.now()));
          };
          socket.on("error", reject);
          socket.on("close", () => reject(new Error("the server closed the connection")));
          socket.on("data", (data) => {
            received = received.length === 0 ? data : Buffer.concat([received, data]);
            try {
              if (!wire.answered(received)) return;
            } catch (error) {
              return reject(error);
            }
            received = Buffer.alloc(0);
            const now = performance.now();
            latencies.push(now - sent);
            bytes += size;
            if (now < until) return send();
            socket.removeAllListeners("close").destroy();
            resolve();
          });
          send();
        }),
    ),
  );
  const seconds = (performance.now() - started) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (q: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0;
  process.stdout.write(
    JSON.stringify({ requests: latencies.length, bytes, seconds, p50Ms: at(0.5), p99Ms: at(0.99) } satisfies LoadResult),
  );
}

async function connected(port: number, wire: Wire): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  if (wire.hello !== undefined) {
    socket.write(wire.hello);
    for (let received = Buffer.alloc(0); !wire.greeted?.(received); ) {
      const [data] = (await once(socket, "data")) as [Buffer];
      received = Buffer.concat([received, data]);
    }
  }
  return socket;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
