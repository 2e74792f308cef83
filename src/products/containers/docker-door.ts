/**
 * The engine's socket for clients that `freehold exec` runs: `docker build` and `docker push` as wrangler calls them. All
 * calls go to the engine as they are, but for one thing: the registry's public names mean the platform's own registry. The
 * engine reaches that at an address on the loopback interface, which it may speak plain HTTP to, so that nobody has to
 * configure the engine. The socket gives no more than the engine's own, and lies in a directory that is its owner's alone.
 */
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface DockerDoorOptions {
  readonly enginePath: string;
  readonly path: string;
  /** Host names of the registry that clients write. */
  readonly names: () => readonly string[];
  /** Where the engine finds the registry: "127.0.0.1:41234". */
  readonly registry: string;
}

/** Answers whose names are translated back are small; longer ones pass as they are. */
const TRANSLATED_MAX_BYTES = 8 * 1024 * 1024;

export async function openDockerDoor(options: DockerDoorOptions): Promise<Server> {
  const { enginePath, path, registry } = options;

  /** The engine's name for what a client names. */
  const inward = (text: string): string =>
    options
      .names()
      .reduce(
        (out, name) => out.replaceAll(`${name}/`, `${registry}/`).replaceAll(`${name}%2F`, `${encodeURIComponent(registry)}%2F`),
        text,
      );
  /** The client's name: the first is the one that configurations bear. */
  const outward = (text: string): string => text.replaceAll(`${registry}/`, `${options.names()[0]}/`);

  const server = createServer({ requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
    pass(request, response).catch((error: Error) => {
      if (response.headersSent) return response.destroy();
      response.writeHead(502, { "content-type": "application/json" });
      response.end(JSON.stringify({ message: `the container engine does not answer: ${error.message}` }));
    });
  });

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const headers = { ...request.headers };
    const translated = await bodyOf(request);
    if (translated !== undefined) {
      delete headers["transfer-encoding"];
      headers["content-length"] = String(Buffer.byteLength(translated));
    }
    const target = { socketPath: enginePath, method: request.method, path: inward(request.url ?? "/"), headers };
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const out = httpRequest(target, resolve);
      out.on("error", reject);
      if (translated !== undefined) out.end(translated);
      else request.pipe(out);
      response.on("close", () => out.destroy());
    });
    const isText = /^(application\/json|text\/plain)/.test(answer.headers["content-type"] ?? "");
    if (!isText || !/\/(images|distribution|containers)\//.test(request.url ?? "")) {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      return pipeline(answer, response);
    }
    const { "content-length": length, ...rest } = answer.headers;
    if (Number(length ?? 0) > TRANSLATED_MAX_BYTES) {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      return pipeline(answer, response);
    }
    response.writeHead(answer.statusCode ?? 502, rest);
    await pipeline(answer, (chunks: AsyncIterable<Buffer>) => lines(chunks, outward), response);
  }

  /** The body of a call that may name the registry, translated. Others stream. */
  async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
    const isNaming = /\/(auth|containers\/create)(\?|$)/.test(request.url ?? "");
    if (!isNaming || Number(request.headers["content-length"] ?? 0) > TRANSLATED_MAX_BYTES) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    return options.names().reduce((out, name) => out.replaceAll(name, registry), text);
  }

  // Attached terminals and BuildKit's sessions take the connection over.
  server.on("upgrade", (request: IncomingMessage, client: Duplex, head: Buffer) => {
    const engine = connect(enginePath, () => {
      engine.write(`${request.method} ${inward(request.url ?? "/")} HTTP/1.1\r\n${headerLines(request.headers)}\r\n`);
      engine.write(head);
      client.pipe(engine).pipe(client);
    });
    engine.on("error", () => client.destroy());
    client.on("error", () => engine.destroy());
    client.on("close", () => engine.destroy());
  });

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return server;
}

const headerLines = (headers: IncomingHttpHeaders): string =>
  Object.entries(headers)
    .flatMap(([name, value]) => [value ?? []].flat().map((one) => `${name}: ${one}\r\n`))
    .join("");

/** Progress comes line by line; a name is never cut in two. */
async function* lines(chunks: AsyncIterable<Buffer>, each: (line: string) => string): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    const end = rest.lastIndexOf("\n") + 1;
    if (end === 0 && rest.length < TRANSLATED_MAX_BYTES) continue;
    yield each(rest.slice(0, end === 0 ? rest.length : end));
    rest = end === 0 ? "" : rest.slice(end);
  }
  if (rest !== "") yield each(rest);
}
