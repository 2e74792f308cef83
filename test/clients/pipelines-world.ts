/** What the client tests of Pipelines share: a bucket with keys, resources by REST, events in, files of a sink out. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, GetObjectCommand, paginateListObjectsV2, type S3Client } from "@aws-sdk/client-s3";
import duckdb from "@duckdb/node-api";
import type { TestPlatform, Token } from "../harness/platform.ts";

export const eventFields = [
  { name: "user_id", type: "string", required: true },
  { name: "event_type", type: "string", required: true },
  { name: "product_id", type: "string", required: false },
  { name: "amount", type: "float64", required: false },
];

export const sampleEvents = [
  { user_id: "user_12345", event_type: "purchase", product_id: "widget-001", amount: 29.99 },
  { user_id: "user_67890", event_type: "view_product", product_id: "widget-002" },
  { user_id: "user_12345", event_type: "add_to_cart", product_id: "widget-003", amount: 15.5 },
];

export interface World {
  readonly base: string;
  readonly token: Token;
  readonly s3: S3Client;
  /** A new bucket. */
  bucket(name: string): Promise<string>;
  /** A new bucket with an active data catalog. */
  catalog(name: string): Promise<string>;
  stream(name: string, fields?: readonly unknown[], http?: Record<string, unknown>): Promise<{ id: string; endpoint: string }>;
  /** An R2 sink that rolls every second. */
  r2Sink(name: string, bucket: string, more?: Record<string, unknown>, format?: Record<string, unknown>): Promise<{ id: string }>;
  catalogSink(name: string, bucket: string, namespace: string, table: string, more?: Record<string, unknown>): Promise<{ id: string }>;
  pipeline(name: string, sql: string): Promise<{ id: string }>;
  /** POSTs to an ingest endpoint. */
  send(endpoint: string, body: unknown, headers?: Record<string, string>): Promise<{ status: number; body: unknown; headers: Headers }>;
  /** Sends and requires success. */
  ingest(endpoint: string, events: readonly unknown[]): Promise<void>;
  keys(bucket: string): Promise<string[]>;
  object(bucket: string, key: string): Promise<Buffer>;
  /** Rows of every Parquet file in the bucket, read by DuckDB, ordered by `order`. */
  parquetRows(bucket: string, order: string): Promise<Record<string, unknown>[]>;
  /** Rows of every NDJSON file in the bucket. */
  jsonRows(bucket: string): Promise<Record<string, unknown>[]>;
}

const DEADLINE_MS = 30_000;

/** Asks again until the answer holds; rejects with the last failure when the deadline has passed. */
export async function eventually<T>(what: string, ask: () => Promise<T>, deadlineMs = DEADLINE_MS): Promise<T> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await ask();
    } catch (cause) {
      if (Date.now() > end) throw new Error(`${what}: not so after ${deadlineMs} ms`, { cause });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

export async function pipelinesWorld(platform: TestPlatform): Promise<World> {
  const account = `/accounts/${platform.ready.account_id}`;
  const base = `${account}/pipelines/v1`;
  const token = await platform.token(["Workers R2 Storage Write", "Workers R2 Data Catalog Write"]);
  const s3 = platform.s3();

  async function create(path: string, body: unknown) {
    const answer = await platform.rest("POST", path, body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.result;
  }
  const bucket = async (name: string): Promise<string> => {
    await s3.send(new CreateBucketCommand({ Bucket: name }));
    return name;
  };
  const rolling = { rolling_policy: { interval_seconds: 1 } };
  const credentials = { access_key_id: token.s3.accessKeyId, secret_access_key: token.s3.secretAccessKey };

  const world: World = {
    base,
    token,
    s3,
    bucket,
    async catalog(name) {
      await bucket(name);
      await create(`${account}/r2-catalog/${name}/enable`, undefined);
      return name;
    },
    stream: (name, fields, http = { enabled: true, authentication: false }) =>
      create(`${base}/streams`, {
        name,
        http,
        format: { type: "json", ...(fields === undefined && { unstructured: true }) },
        worker_binding: { enabled: true },
        ...(fields !== undefined && { schema: { fields } }),
      }),
    r2Sink: (name, to, more = {}, format = { type: "parquet" }) =>
      create(`${base}/sinks`, { name, type: "r2", format, config: { bucket: to, credentials, ...rolling, ...more } }),
    catalogSink: (name, to, namespace, table, more = {}) =>
      create(`${base}/sinks`, {
        name,
        type: "r2_data_catalog",
        config: { bucket: to, namespace, table_name: table, token: token.value, ...rolling, ...more },
      }),
    pipeline: (name, sql) => create(`${base}/pipelines`, { name, sql }),
    async send(endpoint, body, headers = {}) {
      const response = await platform.fetch(endpoint, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
      });
      return { status: response.status, body: await response.json(), headers: response.headers as unknown as Headers };
    },
    async ingest(endpoint, events) {
      const { status, body } = await world.send(endpoint, events);
      assert.deepEqual([status, body], [200, { success: true, result: { committed: events.length } }]);
    },
    async keys(from) {
      const keys: string[] = [];
      for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: from }))
        keys.push(...(page.Contents ?? []).map((object) => object.Key as string));
      return keys;
    },
    async object(from, key) {
      const found = await s3.send(new GetObjectCommand({ Bucket: from, Key: key }));
      return Buffer.from(await (found.Body as { transformToByteArray(): Promise<Uint8Array> }).transformToByteArray());
    },
    async parquetRows(from, order) {
      const keys = (await world.keys(from)).filter((key) => key.endsWith(".parquet"));
      if (keys.length === 0) return [];
      const dir = await mkdtemp(join(tmpdir(), "freehold-parquet-"));
      try {
        for (const [i, key] of keys.entries()) await writeFile(join(dir, `${i}.parquet`), await world.object(from, key));
        const connection = await (await duckdb.DuckDBInstance.create(":memory:")).connect();
        const result = await connection.runAndReadAll(
          `SELECT * FROM read_parquet('${dir}/*.parquet', hive_partitioning = false) ORDER BY ${order}`,
        );
        return result.getRowObjectsJson() as Record<string, unknown>[];
      } finally {
        await rm(dir, { recursive: true });
      }
    },
    async jsonRows(from) {
      const keys = (await world.keys(from)).filter((key) => key.endsWith(".json"));
      const texts = await Promise.all(keys.map(async (key) => (await world.object(from, key)).toString()));
      return texts.flatMap((text) =>
        text
          .trimEnd()
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line) as Record<string, unknown>),
      );
    },
  };
  return world;
}
