/**
 * Clients that write without pause while processes are killed under them, and tell the model what was acknowledged. Each
 * goes through a binding of the deployed Worker or through the public API of the product, as its random choices say.
 */
import assert from "node:assert/strict";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { FormData } from "undici";
import type { TestPlatform } from "../harness/platform.ts";
import { type Random, randomOf } from "../harness/seed.ts";
import { COMPATIBILITY_DATE } from "../harness/worker-project.ts";
import { type Deliveries, digestOf, type Events, type Numbers, type Registers } from "./model.ts";

export interface Resources {
  readonly platform: TestPlatform;
  readonly workerUrl: string;
  readonly kvNamespace: string;
  readonly bucket: string;
  readonly database: string;
  readonly stream: string;
  /** Ids of the queue that a Worker consumes and passes on, and of the one where everything is pulled. */
  readonly pushed: string;
  readonly pulled: string;
}

export interface Model {
  readonly kv: Registers;
  readonly r2: Registers;
  readonly d1: Registers;
  /** What each deployed Worker answers. */
  readonly deployments: Registers;
  readonly numbers: readonly Numbers[];
  readonly events: Events;
  readonly messages: Deliveries;
}

/** One step: a write, or a few. Rejects when it was not acknowledged. */
export interface Writer {
  readonly name: string;
  step(): Promise<void>;
}

const REQUEST_DEADLINE_MS = 20_000;
/** A key is written this often at most before a writer takes a new one. */
const WRITES_PER_KEY = 4;

/** Resolves when the answer is a success and was read to its end. */
async function send(platform: TestPlatform, url: string, init: Parameters<TestPlatform["fetch"]>[1]): Promise<string> {
  const answer = await platform.fetch(url, { ...init, signal: AbortSignal.timeout(REQUEST_DEADLINE_MS) });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`${init?.method} ${url} answered ${answer.status}: ${text.slice(0, 300)}`);
  return text;
}

interface Doors {
  put(key: string, bytes: Buffer): Promise<unknown>;
  delete(key: string): Promise<unknown>;
}

/** Writes values of random sizes under keys of its own, over them, and deletes some. */
function registerWriter(registers: Registers, id: string, random: Random, maxBytes: number, doors: readonly Doors[]): Writer {
  let keys = 0;
  let writes = 0;
  let key = "";
  const next = (): void => {
    key = `${id}-${keys++}`;
    writes = 0;
  };
  next();
  return {
    name: id,
    async step() {
      const door = random.pick(doors);
      const remove = writes > 0 && random.next() < 0.2;
      // Mostly small ones, some as large as allowed: a kill should also meet bodies half-way.
      const size = random.next() < 0.15 ? random.integer(1, maxBytes) : random.integer(1, 2000);
      const bytes = Buffer.alloc(size, `${key}:${writes};`);
      const value = remove ? null : digestOf(bytes);
      registers.sent(key, value);
      try {
        await (remove ? door.delete(key) : door.put(key, bytes));
      } catch (error) {
        next();
        throw error;
      }
      registers.acknowledge(key, value);
      if (++writes === WRITES_PER_KEY) next();
    },
  };
}

function workerDoors({ platform, workerUrl }: Resources, store: string): Doors {
  return {
    put: (key, bytes) => send(platform, `${workerUrl}/put/${store}?key=${key}`, { method: "POST", body: bytes }),
    delete: (key) => send(platform, `${workerUrl}/delete/${store}?key=${key}`, { method: "POST" }),
  };
}

function kvRest({ platform, kvNamespace }: Resources): Doors {
  const url = (key: string) =>
    `${platform.ready.api}/accounts/${platform.ready.account_id}/storage/kv/namespaces/${kvNamespace}/values/${key}`;
  const headers = { authorization: `Bearer ${platform.ready.api_token}` };
  return {
    put: (key, bytes) => send(platform, url(key), { method: "PUT", headers, body: bytes }),
    delete: (key) => send(platform, url(key), { method: "DELETE", headers }),
  };
}

function s3Doors({ bucket }: Resources, s3: S3Client): Doors {
  return {
    put: (key, bytes) => s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes })),
    delete: (key) => s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key })),
  };
}

function d1Rest({ platform, database }: Resources): Doors {
  const query = (sql: string, params: string[]) =>
    send(platform, `${platform.ready.api}/accounts/${platform.ready.account_id}/d1/database/${database}/query`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
      body: JSON.stringify({ sql, params }),
    });
  return {
    put: (key, bytes) =>
      query("INSERT INTO entries VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2", [key, bytes.toString("latin1")]),
    delete: (key) => query("DELETE FROM entries WHERE key = ?", [key]),
  };
}

function numbersWriter({ platform, workerUrl }: Resources, numbers: Numbers, id: string): Writer {
  let count = 0;
  return {
    name: id,
    async step() {
      const operation = `${id}-${count++}`;
      numbers.sent(operation);
      const answer = await send(platform, `${workerUrl}/count/${numbers.name}?key=${operation}`, { method: "POST" });
      numbers.acknowledge(operation, (JSON.parse(answer) as { n: number }).n);
    },
  };
}

function eventsWriter(
  { platform, workerUrl, stream }: Resources,
  events: Events,
  id: string,
  random: Random,
  way: "http" | "binding",
): Writer {
  return {
    name: id,
    async step() {
      const ids = events.take(random.integer(1, 40));
      const body = JSON.stringify(ids.map((n) => ({ id: n, way, text: "x".repeat(random.integer(0, 200)) })));
      if (way === "binding") await send(platform, `${workerUrl}/send`, { method: "POST", body });
      else
        await send(platform, platform.host("ingest", { stream }), {
          method: "POST",
          headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
          body,
        });
      events.acknowledge(ids);
    },
  };
}

/** Sends numbered messages, by binding into the queue that a Worker consumes or by REST into either. */
function messagesWriter({ platform, workerUrl, pushed, pulled }: Resources, messages: Deliveries, id: string, random: Random): Writer {
  return {
    name: id,
    async step() {
      const ids = messages.take(random.integer(1, 20));
      if (random.next() < 0.5) await send(platform, `${workerUrl}/message`, { method: "POST", body: JSON.stringify(ids) });
      else
        await send(
          platform,
          `${platform.ready.api}/accounts/${platform.ready.account_id}/queues/${random.pick([pushed, pulled])}/messages/batch`,
          {
            method: "POST",
            headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
            body: JSON.stringify({ messages: ids.map((n) => ({ body: n })) }),
          },
        );
      messages.acknowledge(ids);
    },
  };
}

const PART_BYTES = 5 * 1024 * 1024;

/** Uploads in two parts, one call a step: what was acknowledged of an upload before a crash is good for its completion. */
function multipartWriter({ bucket }: Resources, registers: Registers, s3: S3Client, id: string): Writer {
  let uploads = 0;
  let upload: { readonly key: string; readonly id: string; readonly etags: string[] } | undefined;
  const parts = (key: string) => [Buffer.alloc(PART_BYTES, `${key}:1;`), Buffer.alloc(1000, `${key}:2;`)];
  return {
    name: id,
    async step() {
      if (upload === undefined) {
        const Key = `${id}-${uploads++}`;
        const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
        upload = { key: Key, id: UploadId as string, etags: [] };
        return;
      }
      const { key, etags } = upload;
      const target = { Bucket: bucket, Key: key, UploadId: upload.id };
      const next = parts(key)[etags.length];
      if (next !== undefined) {
        const { ETag } = await s3.send(new UploadPartCommand({ ...target, PartNumber: etags.length + 1, Body: next }));
        etags.push(ETag as string);
        return;
      }
      const value = digestOf(Buffer.concat(parts(key)));
      registers.sent(key, value);
      const Parts = etags.map((ETag, i) => ({ ETag, PartNumber: i + 1 }));
      // Once sent it may have completed without our hearing of it: it cannot be completed again.
      upload = undefined;
      await s3.send(new CompleteMultipartUploadCommand({ ...target, MultipartUpload: { Parts } }));
      registers.acknowledge(key, value);
    },
  };
}

/** Deploys new versions of Workers that answer with their version. */
function deployWriter({ platform }: Resources, registers: Registers, id: string): Writer {
  let scripts = 0;
  let version = 0;
  const headers = { authorization: `Bearer ${platform.ready.api_token}` };
  return {
    name: id,
    async step() {
      const script = `${id}-${scripts}`;
      const url = `${platform.ready.api}/accounts/${platform.ready.account_id}/workers/scripts/${script}`;
      const answer = `version ${++version} of ${script}`;
      const form = new FormData();
      form.set("metadata", new Blob([JSON.stringify({ main_module: "index.js", compatibility_date: COMPATIBILITY_DATE })]));
      const code = `export default { fetch: () => new Response(${JSON.stringify(answer)}) }`;
      form.set("index.js", new Blob([code], { type: "application/javascript+module" }), "index.js");
      registers.sent(script, answer);
      try {
        await send(platform, url, { method: "PUT", headers, body: form });
        await send(platform, `${url}/subdomain`, {
          method: "POST",
          headers: { ...headers, "content-type": "application/json" },
          body: '{"enabled":true}',
        });
      } catch (error) {
        scripts++;
        throw error;
      }
      registers.acknowledge(script, answer);
    },
  };
}

/** All writers; their choices follow from the seed. */
export function writers(resources: Resources, model: Model, seed: number): Writer[] {
  let actors = 0;
  const random = (): Random => randomOf(seed + ++actors);
  const s3 = resources.platform.s3();
  const all: Writer[] = [];
  for (const i of [1, 2]) {
    all.push(
      registerWriter(model.kv, `kv-${i}`, random(), 200_000, [workerDoors(resources, "kv"), kvRest(resources)]),
      registerWriter(model.r2, `r2-${i}`, random(), 4_000_000, [workerDoors(resources, "r2"), s3Doors(resources, s3)]),
      registerWriter(model.d1, `d1-${i}`, random(), 20_000, [workerDoors(resources, "d1"), d1Rest(resources)]),
      eventsWriter(resources, model.events, `http-${i}`, random(), "http"),
      eventsWriter(resources, model.events, `binding-${i}`, random(), "binding"),
      messagesWriter(resources, model.messages, `messages-${i}`, random()),
    );
  }
  all.push(multipartWriter(resources, model.r2, s3, "multipart-1"), deployWriter(resources, model.deployments, "deploy-1"));
  for (const numbers of model.numbers) for (const i of [1, 2]) all.push(numbersWriter(resources, numbers, `${numbers.name}-${i}`));
  return all;
}

const RETRY_MS = 20;
const PROGRESS_DEADLINE_MS = 45_000;

/** Runs writers, can hold them between two steps, and knows how far each is. */
export class Crew {
  readonly failures = new Map<string, number>();
  #writers: readonly Writer[];
  #acknowledged = new Map<string, number>();
  #waiting = new Set<() => void>();
  #lastFailure = new Map<string, unknown>();
  #running: Promise<unknown> | undefined;
  #stopping = false;

  constructor(writers: readonly Writer[]) {
    this.#writers = writers;
  }

  start(): void {
    this.#stopping = false;
    this.#running = Promise.all(this.#writers.map((writer) => this.#run(writer)));
    // Whoever stops the crew hears of it; until then it is not unhandled.
    this.#running.catch(() => undefined);
  }

  /** Resolves when no write is under way any more. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #run(writer: Writer): Promise<void> {
    while (!this.#stopping) {
      try {
        await writer.step();
        this.#acknowledged.set(writer.name, (this.#acknowledged.get(writer.name) ?? 0) + 1);
        for (const wake of this.#waiting) wake();
      } catch (error) {
        // What the model refuses is a finding; anything else a write that was not acknowledged.
        if (error instanceof assert.AssertionError) throw error;
        this.#lastFailure.set(writer.name, error);
        this.failures.set(writer.name, (this.failures.get(writer.name) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** Resolves when each writer had another write acknowledged that it began after this call. */
  async progress(): Promise<void> {
    // The first acknowledgement may belong to a write that was under way already.
    const goals = new Map(this.#writers.map(({ name }) => [name, (this.#acknowledged.get(name) ?? 0) + 2]));
    const behind = (): string[] => [...goals].filter(([name, goal]) => (this.#acknowledged.get(name) ?? 0) < goal).map(([name]) => name);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (behind().length === 0) resolve();
    };
    const timer = setTimeout(() => {
      const stuck = behind().map((name) => `${name}: ${this.#lastFailure.get(name) ?? "no answer"}`);
      reject(new Error(`no write was acknowledged within ${PROGRESS_DEADLINE_MS} ms:\n${stuck.join("\n")}`));
    }, PROGRESS_DEADLINE_MS);
    this.#waiting.add(look);
    try {
      look();
      await Promise.race([promise, this.#running]);
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }
}
