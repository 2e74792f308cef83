/** What tests of AI Search stand on: a platform with a server of models, a registered service token, buckets, and time to wait. */
import { setTimeout as delay } from "node:timers/promises";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import type Cloudflare from "cloudflare";
import { type ModelServer, startModelServer } from "../harness/model-server.ts";
import { startPlatform, type TestPlatform } from "../harness/platform.ts";

/** For what takes a moment: past it something hangs. */
const DEADLINE_MS = 60_000;

export const EMBEDDING = "@cf/baai/bge-m3";
export const GENERATION = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";

export interface SearchWorld {
  readonly platform: TestPlatform;
  readonly models: ModelServer;
  readonly account_id: string;
  readonly sdk: Cloudflare;
  /** Id of the registered service token. */
  readonly token: string;
  bucket(name: string, files?: Readonly<Record<string, string | Uint8Array>>): Promise<string>;
  put(bucket: string, key: string, body: string | Uint8Array, metadata?: Record<string, string>): Promise<void>;
  /** A new instance, when what its source has is indexed. */
  instance(id: string, config: Readonly<Record<string, unknown>>): Promise<string>;
  /** Asks again and again, as long as what takes a moment may take. */
  until(done: () => Promise<boolean>): Promise<void>;
  /** Resolves when nothing of the instance waits or is under way. */
  ready(id: string): Promise<void>;
  /** Asks for a job and waits until it has ended; its id. */
  sync(id: string): Promise<string>;
  /** AutoRAG's search: keys of the results. */
  found(id: string, query: string, more?: Readonly<Record<string, unknown>>): Promise<string[]>;
  logs(id: string, job: string): Promise<string[]>;
}

type Hooks = Parameters<typeof startPlatform>[0];

export async function searchWorld(t: Hooks, config: Readonly<Record<string, unknown>> = {}): Promise<SearchWorld> {
  const models = await startModelServer(t);
  const platform = await startPlatform(t, {
    config: { "workers_ai.models": [`@cf/baai/*=${models.url}`, `@cf/meta/llama-*=${models.url}`], ...config },
  });
  const account_id = platform.ready.account_id;
  const sdk = platform.sdk();
  const service = await platform.token(["AI Search Index Engine"]);
  const { id: token } = await sdk.aiSearch.tokens.create({ account_id, cf_api_id: service.id, cf_api_key: service.value, name: "service" });

  async function until(done: () => Promise<boolean>): Promise<void> {
    // Each look asks the platform; there is no event to wait for from outside.
    for (const end = Date.now() + DEADLINE_MS; !(await done()); await delay(50))
      if (Date.now() > end) throw new Error("the instance does not come to rest");
  }

  const world: SearchWorld = {
    ...{ platform, models, account_id, sdk, token, until },
    async bucket(name, files = {}) {
      await sdk.r2.buckets.create({ account_id, name });
      await Promise.all(Object.entries(files).map(([key, body]) => world.put(name, key, body)));
      return name;
    },
    async put(bucket, key, body, Metadata) {
      await platform.s3().send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...(Metadata && { Metadata }) }));
    },
    async instance(id, given) {
      await sdk.aiSearch.instances.create({ account_id, id, ...given } as never);
      await world.ready(id);
      return id;
    },
    ready: (id) => until(async () => (await sdk.aiSearch.instances.read(id, { account_id })).status === "ready"),
    async sync(id) {
      const { id: job } = await sdk.aiSearch.instances.jobs.create(id, { account_id });
      await until(async () => (await sdk.aiSearch.instances.jobs.get(job, { account_id, id })).ended_at !== undefined);
      return job;
    },
    async found(id, query, more = {}) {
      const { status, body } = await platform.rest("POST", `/accounts/${account_id}/autorag/rags/${id}/search`, { query, ...more });
      if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body.errors)}`);
      return (body.result.data as { filename: string }[]).map(({ filename }) => filename);
    },
    async logs(id, job) {
      const lines = await sdk.aiSearch.instances.jobs.logs(job, { account_id, id, per_page: 1000 });
      return lines.map(({ message }) => message);
    },
  };
  return world;
}
