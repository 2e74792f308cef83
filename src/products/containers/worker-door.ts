/**
 * What a Worker's process sees of containers: a socket that answers the few calls of Docker's API which workerd makes for
 * `ctx.container`, and no other. Names stand for Durable Objects, and only for those of namespaces that the script has;
 * everything else that a container is made of (image, limits, network, labels) is the platform's to say. No call reaches
 * the engine as it came.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { Log } from "../../kernel/log.ts";
import type { Execs } from "./execs.ts";
import { type Ingress, openIngress, type Target } from "./ingress.ts";
import type { End, Instance, Instances } from "./instances.ts";
import { containerName, type ObjectKey } from "./object-key.ts";

export interface WorkerDoors {
  /** Path of the script's socket; made on first use. */
  open(scriptId: string): Promise<string>;
  close(): void;
}

export interface WorkerDoorsOptions {
  /** Private: who can connect to a socket in it may act for the script. */
  readonly directory: string;
  readonly instances: Instances;
  readonly execs: Execs;
  readonly log: Log;
  /** Whether the namespace's objects run in the script's process. */
  readonly owns: (scriptId: string, namespaceId: string) => Promise<boolean>;
}

interface Create {
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[];
}

/** What an object has in hand between workerd's calls. */
interface Slot {
  ingress?: Ingress;
  /** What the next start is to be made with. */
  create?: Create;
}

const BODY_MAX_BYTES = 4 * 1024 * 1024;
/** Time in which it is heard that an object waits no longer. */
const WAIT_ENDS_MS = 50;
const SIGNAL = /^SIG[A-Z0-9]{1,10}$/;

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function workerDoors({ directory, instances, execs, log, owns }: WorkerDoorsOptions): WorkerDoors {
  const servers = new Map<string, Promise<{ server: Server; path: string }>>();
  const slots = new Map<string, Slot>();
  /** Ids of instances whose end a process waits for: every object does that for its container as long as it is in memory. */
  const awaited = new Map<string, number>();

  const slotOf = ({ text }: ObjectKey): Slot => {
    const slot = slots.get(text) ?? {};
    slots.set(text, slot);
    return slot;
  };

  async function listen(scriptId: string): Promise<{ server: Server; path: string }> {
    const path = join(directory, `${createHash("sha256").update(scriptId).digest("hex").slice(0, 16)}.sock`);
    const server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
      answer(scriptId, request, response).catch((error: unknown) => refuse(request, response, error));
    });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on("error", () => socket.destroy());
      startExec(scriptId, request, socket, head).catch((error: unknown) => {
        socket.end(`HTTP/1.1 ${error instanceof Refusal ? error.status : 500} Refused\r\ncontent-length: 0\r\n\r\n`);
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    return { server, path };
  }

  function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.headersSent) return void response.destroy();
    if (!(error instanceof Refusal)) log.warn("containers.call_failed", { method: request.method, url: request.url, error });
    send(response, error instanceof Refusal ? error.status : 500, { message: (error as Error).message });
  }

  async function answer(scriptId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://engine");
    const call = `${request.method} ${pathname}`;
    // workerd looks for old snapshots; there are none.
    if (call === "GET /volumes") return send(response, 200, { Volumes: [], Warnings: null });
    // It listens at this "gateway" for what helpers intercept.
    if (call === "GET /networks/bridge")
      return send(response, 200, {
        Name: "bridge",
        Id: "bridge",
        IPAM: { Driver: "default", Config: [{ Subnet: "127.0.0.0/8", Gateway: "127.0.0.1" }] },
      });
    if (call === "POST /containers/create") {
      const { object, helper } = await named(scriptId, searchParams.get("name") ?? "");
      const create = (await bodyOf(request)) as Create;
      if (!helper) slotOf(object).create = create;
      return send(response, 201, { Id: object.text, Warnings: [] });
    }
    const [, execId, execCall] = /^\/exec\/([0-9a-f]+)\/(json|resize|start)$/.exec(pathname) ?? [];
    if (execId !== undefined) return exec(scriptId, execId, execCall as string, request, searchParams, response);
    const [, name, rest = ""] = /^\/containers\/([\w.-]+)((?:\/[a-z]+)?)$/.exec(pathname) ?? [];
    if (name === undefined) throw new Refusal(501, `${call} is not supported`);
    const { object, helper } = await named(scriptId, name);
    const verb = `${request.method} ${rest}`;
    if (helper) return ofHelper(object, verb, response);
    return ofContainer(scriptId, object, verb, request, searchParams, response);
  }

  async function named(scriptId: string, name: string): Promise<{ object: ObjectKey; helper: boolean }> {
    const found = containerName(name);
    if (found === undefined || !(await owns(scriptId, found.object.namespaceId))) throw new Refusal(404, `No such container: ${name}`);
    return found;
  }

  async function ofHelper(object: ObjectKey, verb: string, response: ServerResponse): Promise<void> {
    const slot = slotOf(object);
    switch (verb) {
      case "POST /start":
        slot.ingress ??= await openIngress(() => targetOf(object));
        return send(response, 204);
      case "GET /json":
        // A container that a former process left has one from now on.
        if (isLive(instances.ofObject(object))) slot.ingress ??= await openIngress(() => targetOf(object));
        if (slot.ingress === undefined) throw new Refusal(404, "No such container");
        return send(response, 200, {
          Id: object.text,
          State: { Status: "running", Running: true },
          Config: { Image: "none" },
          NetworkSettings: { Ports: { "39001/tcp": [{ HostIp: "127.0.0.1", HostPort: String(slot.ingress.port) }] } },
        });
      case "DELETE ":
        slot.ingress?.close();
        slots.delete(object.text);
        return send(response, 204);
      case "POST /wait":
        throw new Refusal(404, "No such container");
      default:
        throw new Refusal(501, `${verb} is not supported`);
    }
  }

  async function ofContainer(
    scriptId: string,
    object: ObjectKey,
    verb: string,
    request: IncomingMessage,
    query: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const instance = instances.ofObject(object);
    switch (verb) {
      case "GET /json":
        if (!isLive(instance)) throw new Refusal(404, "No such container");
        instances.takeUp(instance);
        return send(response, 200, {
          Id: instance.id,
          State: { Status: "running", Running: true },
          Config: { Image: "current" },
          NetworkSettings: { Ports: {} },
        });
      case "POST /start": {
        if (isLive(instance)) return send(response, 304);
        const { create, ingress } = slotOf(object);
        if (create === undefined) throw new Refusal(404, "No such container");
        const options = { env: create.Env ?? [], entrypoint: create.Cmd, internet: ingress?.internet ?? false };
        await instances.start(object, scriptId, options);
        return send(response, 204);
      }
      case "POST /wait":
        if (instance === undefined || query.get("condition") === "removed") throw new Refusal(404, "No such container");
        awaited.set(instance.id, (awaited.get(instance.id) ?? 0) + 1);
        response.once("close", () => {
          const left = (awaited.get(instance.id) ?? 1) - 1;
          if (left > 0) awaited.set(instance.id, left);
          else awaited.delete(instance.id);
        });
        return sendEnd(response, await endOf(instance, response));
      case "POST /kill": {
        const signal = query.get("signal") ?? "";
        if (!SIGNAL.test(signal)) throw new Refusal(400, "invalid signal");
        if (!isLive(instance)) throw new Refusal(409, "Container is not running");
        await instances.signal(instance, signal);
        return send(response, 204);
      }
      case "POST /stop":
        if (isLive(instance)) await instances.stop(instance);
        return send(response, 204);
      case "DELETE ":
        if (instance === undefined) throw new Refusal(404, "No such container");
        // workerd deletes the container also when it lets go of an object: the process ends, or nobody has called the object
        // for a while. Only at `destroy()` the object is still there, and waits for the end.
        await pause(WAIT_ENDS_MS);
        if (!awaited.has(instance.id)) {
          instances.letGo(instance);
          return send(response, 204);
        }
        await instances.destroy(instance);
        instances.forget(object);
        return send(response, 204);
      case "POST /exec":
        if (!isLive(instance)) throw new Refusal(409, "Container is not running");
        return send(response, 201, { Id: await execs.create(scriptId, instance, await bodyOf(request)) });
      default:
        throw new Refusal(501, `${verb} is not supported`);
    }
  }

  function targetOf(object: ObjectKey): Target {
    const instance = instances.ofObject(object);
    if (instance?.end !== undefined && "failure" in instance.end) return { failure: instance.end.failure };
    if (instance === undefined || instance.end !== undefined || instance.address === "") return { failure: "the container is not running" };
    return { address: instance.address };
  }

  async function exec(
    scriptId: string,
    id: string,
    call: string,
    request: IncomingMessage,
    query: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const body = call === "start" ? await bodyOf(request) : undefined;
    const found = await execs.call(scriptId, id, call, query, body);
    if (found === undefined) throw new Refusal(404, "No such exec instance");
    response.writeHead(found.status, { "content-type": "application/json" });
    response.end(found.body);
  }

  async function startExec(scriptId: string, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const [, id] = /^\/exec\/([0-9a-f]+)\/start$/.exec(request.url ?? "") ?? [];
    if (id === undefined) throw new Refusal(501, "not supported");
    const length = Number(request.headers["content-length"] ?? 0);
    if (length > BODY_MAX_BYTES) throw new Refusal(413, "the body is too large");
    const body = await upgradeBody(socket, head, length);
    const engine = await execs.attach(scriptId, id, body);
    if (engine === undefined) throw new Refusal(404, "No such exec instance");
    socket.write("HTTP/1.1 101 UPGRADED\r\ncontent-type: application/vnd.docker.raw-stream\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n");
    socket.pipe(engine).pipe(socket);
    engine.on("error", () => socket.destroy());
    socket.on("close", () => engine.destroy());
  }

  return {
    async open(scriptId) {
      const opening = servers.get(scriptId) ?? listen(scriptId);
      servers.set(scriptId, opening);
      return (await opening).path;
    },
    close() {
      for (const { ingress } of slots.values()) ingress?.close();
      for (const opening of servers.values())
        void opening.then(({ server }) => {
          server.close();
          server.closeAllConnections();
        });
    },
  };
}

const isLive = (instance: Instance | undefined): instance is Instance => instance !== undefined && instance.end === undefined;

/** How the instance ended; never resolves for a caller that has left. */
async function endOf(instance: Instance, response: ServerResponse): Promise<End | undefined> {
  const left = new Promise<undefined>((resolve) => response.once("close", () => resolve(undefined)));
  return Promise.race([instance.ended, left]);
}

function sendEnd(response: ServerResponse, end: End | undefined): void {
  if (end === undefined) return;
  if ("failure" in end) send(response, 500, { message: end.failure });
  else send(response, 200, { StatusCode: end.exitCode, Error: null });
}

function send(response: ServerResponse, status: number, value?: unknown): void {
  response.writeHead(status, value === undefined ? {} : { "content-type": "application/json" });
  response.end(value === undefined ? undefined : JSON.stringify(value));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_MAX_BYTES) throw new Refusal(413, "the body is too large");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8") || "{}");
}

/** The JSON body of a request that takes the connection over; what follows it stays in the socket. */
async function upgradeBody(socket: Duplex, head: Buffer, length: number): Promise<unknown> {
  let bytes = head;
  while (bytes.length < length) {
    const chunk = await new Promise<Buffer | undefined>((resolve) => {
      socket.once("data", resolve);
      socket.once("close", () => resolve(undefined));
    });
    socket.pause();
    if (chunk === undefined) throw new Refusal(400, "the connection ended");
    bytes = Buffer.concat([bytes, chunk]);
  }
  if (bytes.length > length) socket.unshift(bytes.subarray(length));
  return JSON.parse(bytes.subarray(0, length).toString("utf8") || "{}");
}
