/**
 * Clients that write without pause while processes are killed under them, and tell the model what was acknowledged. Each
 * goes through a binding of the deployed Worker or through the public API of the product, as its random choices say.
 */
import assert from "node:assert/strict";
import { DeleteObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import type { TestPlatform } from "../harness/platform.ts";
import { type Random, randomOf } from "../harness/seed.ts";
import { digestOf, type Events, type Numbers, type Registers } from "./model.ts";

export interface Resources {
  readonly platform: TestPlatform;
  readonly workerUrl: string;
  readonly kvNamespace: string;
  readonly bucket: string;
  readonly database: string;
  readonly stream: string;
}

export interface Model {
  readonly kv: Registers;
  readonly r2: Registers;
  readonly d1: Registers;
  readonly numbers: readonly Numbers[];
  readonly events: Events;
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
    );
  }
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
