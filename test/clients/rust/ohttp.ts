/** Both ends of Oblivious HTTP, by the program in `ohttp/`: a client, and an application's gateway on a port of its own. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { rustProgram } from "../../harness/rust.ts";

/** A request as it is inside of what the relay sees, or an answer. */
export interface Inner {
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly body: string;
}

export interface Gateway {
  readonly url: string;
  /** What came, with the headers that the relay sent and the peer's port. */
  readonly received: { readonly inner: Inner; readonly headers: IncomingHttpHeaders; readonly rawHeaders: readonly string[] }[];
  /** Answers this status without looking into what comes, from now on; 0: as ever. */
  failWith: number;
  close(): Promise<void>;
}

export interface Ohttp {
  /** The gateway's key configurations, as `/ohttp-configs` has them. */
  readonly configurations: Buffer;
  seal(configurations: Buffer, request: Inner): Promise<{ id: string; sealed: Buffer }>;
  open(id: string, sealed: Buffer): Promise<{ status: number; body: string }>;
  /** A gateway in front of a target that answers what it was asked. */
  gateway(answerHeaders?: Readonly<Record<string, string>>): Promise<Gateway>;
  stop(): void;
}

const hex = (text: string): string => (text === "" ? "-" : Buffer.from(text).toString("hex"));
const unhex = (text: string): string => (text === "-" ? "" : Buffer.from(text, "hex").toString());

export async function startOhttp(): Promise<Ohttp> {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(await rustProgram("ohttp", "ohttp-peer"), {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  /** One line in, one line out, in turn. */
  const ask = (...words: readonly string[]): Promise<string[]> => {
    const answer = last.then(async () => {
      child.stdin.write(`${words.join(" ")}\n`);
      const { value, done } = await answers.next();
      if (done === true) throw new Error(`the peer ended at: ${words.join(" ").slice(0, 200)}`);
      return (value as string).split(" ");
    });
    last = answer.catch(() => undefined);
    return answer;
  };
  const configurations = Buffer.from((await ask("config"))[0] as string, "hex");

  return {
    configurations,
    async seal(config, { method, authority, path, body }) {
      const [id, sealed] = await ask("seal", config.toString("hex"), method, authority, path, hex(body));
      return { id: id as string, sealed: Buffer.from(sealed as string, "hex") };
    },
    async open(id, sealed) {
      const [status, body] = await ask("open", id, sealed.toString("hex"));
      return { status: Number(status), body: unhex(body as string) };
    },
    async gateway(answerHeaders = {}) {
      const gateway = { url: "", received: [] as Gateway["received"], failWith: 0, close: async () => void server.close() };
      const server = createServer(async (request, response) => {
        if (request.url === "/ohttp-configs")
          return response.writeHead(200, { "content-type": "application/ohttp-keys" }).end(configurations);
        const body = await buffer(request).catch(() => undefined);
        if (body === undefined) return; // The relay gave the request up.
        if (gateway.failWith !== 0) return response.writeHead(gateway.failWith).end("the gateway fails");
        const [id, method = "", authority = "", path = "", inner = "-"] = await ask("receive", body.toString("hex"));
        const asked: Inner = { method, authority, path, body: unhex(inner) };
        gateway.received.push({ inner: asked, headers: request.headers, rawHeaders: request.rawHeaders });
        const [sealed] = await ask("reply", id as string, "200", hex(`${asked.method} ${asked.path}: ${asked.body}`));
        return response.writeHead(200, { "content-type": "message/ohttp-res", ...answerHeaders }).end(Buffer.from(sealed as string, "hex"));
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      gateway.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      return gateway;
    },
    stop: () => child.stdin.end(),
  };
}
