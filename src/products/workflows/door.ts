/**
 * The product's socket for Workers' processes. A binding reaches the workflow that its capability names; the driver of a
 * process reaches the runs that it was ordered, each by a token that only that order carried.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { BlobLeases } from "../../kernel/blobs/leases.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Claims } from "../../kernel/product.ts";
import { bodyOf } from "../../kernel/workerd/request-body.ts";
import type { Engine } from "./engine.ts";
import { workflowsError } from "./errors.ts";
import type { Creation, Lifecycle, RestartFrom } from "./lifecycle.ts";
import type { InstanceRow, Workflow } from "./model.ts";
import { errorOf } from "./model.ts";
import { type Answer, type Questions, RUN_HEADER, RUN_OVER, STREAM_PATH, type StepKey } from "./protocol.worker.ts";
import { type InstanceRun, RunEnded } from "./run.ts";
import type { Steps } from "./steps.ts";
import type { EncodedValue } from "./values.worker.ts";
import type { Workflows } from "./workflows.ts";

export interface Door {
  readonly workflows: Workflows;
  readonly lifecycle: Lifecycle;
  readonly engine: Engine;
  readonly steps: Steps;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  readonly storedMaxBytes: number;
}

/** A batch of a hundred payloads as text. */
const BODY_MAX_BYTES = 256 * 1024 * 1024;

export async function serveDoor(door: Door, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (claims.kind === "binding") return serveBinding(door, String(claims.workflow), request, response);
  const run = door.engine.run(String(request.headers[RUN_HEADER]));
  if (claims.kind !== "engine" || run === undefined || run.scriptId !== claims.script) {
    request.resume();
    response.writeHead(RUN_OVER).end();
    return;
  }
  await serveRun(door, run, request, response);
}

// --- the binding -------------------------------------------------------------------------------------------

type Content = Readonly<Record<string, unknown>>;
type Operation = (door: Door, workflow: Workflow, content: Content) => Promise<unknown>;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  create: async ({ lifecycle }, workflow, content) => idOf(await lifecycle.create(workflow, creationOf(content), "binding")),
  async createBatch({ lifecycle }, workflow, { instances, skipExisting }) {
    const { rows, errors } = await lifecycle.createBatch(workflow, (instances as Content[]).map(creationOf), "binding");
    return skipExisting === true ? rows.map(idOf) : { created: rows.map(idOf), errors };
  },
  async deleteBatch({ lifecycle }, workflow, { instances }) {
    if (!Array.isArray(instances) || instances.length === 0 || instances.length > 100) throw workflowsError("batchTooLarge");
    return lifecycle.deleteBatch(workflow, instances);
  },
  get: async ({ lifecycle }, workflow, { id }) => idOf(await lifecycle.require(lifecycle.refOf(workflow, id))),
  async status({ lifecycle }, workflow, { id }) {
    const row = await lifecycle.require(lifecycle.refOf(workflow, id));
    const error = errorOf(row);
    return { status: row.status, output: row.output, ...(error !== null && row.status !== "rollingBack" && { error }) };
  },
  pause: async ({ lifecycle }, workflow, { id }) => idOf(await lifecycle.pause(workflow, id)),
  resume: async ({ lifecycle }, workflow, { id }) => idOf(await lifecycle.resume(workflow, id)),
  terminate: async ({ lifecycle }, workflow, { id, rollback }) =>
    idOf(await lifecycle.terminate(workflow, id, "binding", rollback === true)),
  restart: async ({ lifecycle }, workflow, { id, from }) => idOf(await lifecycle.restart(workflow, id, from as RestartFrom | undefined)),
  async delete({ lifecycle }, workflow, { id }) {
    await lifecycle.delete(workflow, id);
    return {};
  },
  async sendEvent({ lifecycle }, workflow, { id, type, payload }) {
    await lifecycle.sendEvent(workflow, id, type, payload as EncodedValue);
    return {};
  },
};

const idOf = ({ id }: InstanceRow): { id: string } => ({ id });
const creationOf = (content: Content): Creation => content as unknown as Creation;

async function serveBinding(door: Door, name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = (status: number, value: unknown): void => {
    const text = JSON.stringify(value);
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
  };
  try {
    const content = JSON.parse((await bytesOf(request)).toString("utf8")) as Content;
    const operation = OPERATIONS[(request.url as string).slice(1)];
    if (operation === undefined) throw workflowsError("invalidBody");
    answer(200, await operation(door, door.workflows.require(name), content));
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    answer(error.spec.status, { name: "WorkflowError", message: error.message });
  }
}

// --- the driver --------------------------------------------------------------------------------------------

async function serveRun(door: Door, run: InstanceRun, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const { pathname, searchParams } = new URL(request.url as string, "http://engine");
    if (pathname === STREAM_PATH) {
      const key = JSON.parse(searchParams.get("key") as string) as StepKey;
      if (request.method === "GET") return await giveStream(door, run, key, response);
      return send(response, await keepStream(door, run, key, Number(searchParams.get("attempt")), request));
    }
    const content = JSON.parse((await bytesOf(request)).toString("utf8"));
    send(response, await run.answer(pathname.slice(1) as keyof Questions, content));
  } catch (error) {
    if (!(error instanceof RunEnded)) throw error;
    if (!response.headersSent) response.writeHead(RUN_OVER).end();
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const text = JSON.stringify(answer);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

/** Bytes first, then the row: a crash between the two leaves a blob that the lease has deleted. */
async function keepStream(door: Door, run: InstanceRun, key: StepKey, attempt: number, request: IncomingMessage): Promise<Answer> {
  const { leases, blobs, storedMaxBytes } = door;
  const blob = await leases.take();
  let named = false;
  try {
    const bytes = await store(blobs, blob, request, storedMaxBytes);
    return await run.keepStream(key, attempt, {
      blob,
      bytes,
      async settle(tx) {
        await leases.settle(tx, blob);
        named = true;
      },
    });
  } finally {
    if (!named) await leases.discard(blob);
  }
}

async function store(blobs: BlobStore, blob: BlobId, request: IncomingMessage, maxBytes: number): Promise<number> {
  const writer = await blobs.create(blob);
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength;
      // Its row would refuse it: the rest need not be kept.
      if (bytes <= maxBytes) await writer.write(chunk);
    }
  } catch (cause) {
    await writer.abort();
    // The driver went away; the run ends by itself.
    throw new RunEnded(undefined, { cause });
  }
  await writer.commit();
  return bytes;
}

async function giveStream({ steps, blobs }: Door, run: InstanceRun, key: StepKey, response: ServerResponse): Promise<void> {
  const row = await steps.get(run.ref, key);
  if (row?.blob == null) throw new RunEnded();
  const stream = await blobs.read(row.blob as BlobId);
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": row.bytes });
  // Who stops reading is the user's code, or a run that ended.
  await pipeline(stream, response).catch(() => stream.destroy());
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const body = await bodyOf(request, BODY_MAX_BYTES);
  if (body === undefined) throw workflowsError("tooLarge");
  return body;
}
