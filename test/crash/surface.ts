/**
 * The REST API as the platform lists it, so that an operation which is added later is met by the tests that walk all of
 * them. Resources of every product are there under each operation's path: a hole would really do something.
 */
import assert from "node:assert/strict";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { FormData } from "undici";
import type { TestPlatform } from "../harness/platform.ts";

export interface Operation {
  readonly op: string;
  readonly method: string;
  readonly path: string;
  readonly permission: readonly string[] | "public";
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

export interface Surface {
  readonly operations: readonly Operation[];
  /** The stream's id, for its ingest host. */
  readonly stream: string;
  /** The path with this file's resources; `odd` stands in for every parameter but the account. */
  pathOf(operation: Operation, odd?: string): string;
  send(operation: Operation, path: string, headers: Readonly<Record<string, string>>, body?: string | Uint8Array): Promise<Answer>;
  /** Everything that GET shows to the root token, without what changes by itself. */
  state(): Promise<Map<string, unknown>>;
}

/** The name of every resource that has one. */
export const NAME = "guarded";
export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

/** Operations whose answer changes without anybody's doing, or is new each time: a preview session's token. */
const MOVING =
  /^(freehold\.|(user|accounts)\.tokens\.(list|get|verify)|d1\.timeTravel|.*\.metrics|pages\.projects\.uploadToken|pipelines\.streams\.tail|images\.v1\.batchToken|workers\.schedules\.runs|workers\.previews\.)/;

const WORKER = `import { DurableObject } from "cloudflare:workers";
export class Guarded extends DurableObject {}
export default { fetch: () => new Response("guarded") };`;

export async function openSurface(platform: TestPlatform): Promise<Surface> {
  const { account_id: account, api, api_token: root } = platform.ready;
  const create = async (path: string, body?: unknown): Promise<Record<string, string>> => {
    const answer = await platform.rest("POST", `/accounts/${account}${path}`, body);
    assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body)}`);
    return answer.body.result;
  };
  const put = async (path: string, body: string | FormData): Promise<void> => {
    const answer = await platform.fetch(`${api}/accounts/${account}${path}`, { method: "PUT", headers: bearer(root), body });
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
  };
  const operations = (await platform.rest("GET", "/freehold/routes")).body.result as Operation[];
  assert.ok(operations.length > 100, "the platform lists its operations");

  const kv = (await create("/storage/kv/namespaces", { title: NAME })).id as string;
  await put(`/storage/kv/namespaces/${kv}/values/${NAME}`, "1");
  const database = (await create("/d1/database", { name: NAME })).uuid as string;
  await create("/r2/buckets", { name: NAME });
  await create("/pages/projects", { name: NAME, production_branch: "main" });
  await platform.s3().send(new PutObjectCommand({ Bucket: NAME, Key: NAME, Body: "1" }));
  await create(`/r2-catalog/${NAME}/enable`);
  const http = { enabled: true, authentication: true, cors: { origins: [] } };
  const stream = await create("/pipelines/v1/streams", { name: NAME, format: { type: "json" }, http, worker_binding: { enabled: true } });
  const sink = await create("/pipelines/v1/sinks", {
    name: `${NAME}_sink`,
    type: "r2_data_catalog",
    format: { type: "parquet" },
    config: { bucket: NAME, namespace: NAME, table_name: NAME, token: root },
  });
  const pipeline = await create("/pipelines/v1/pipelines", { name: NAME, sql: `INSERT INTO ${NAME}_sink SELECT * FROM ${NAME}` });
  await create("/ai-search/namespaces", { name: NAME });
  await create("/ai-search/instances", { id: NAME });
  await create(`/ai-search/namespaces/${NAME}/instances`, { id: NAME });
  const token = await platform.token(["API Tokens Read"]);
  await put(`/workers/scripts/${NAME}`, workerUpload(WORKER));
  const objects = (await platform.rest("GET", `/accounts/${account}/workers/durable_objects/namespaces`)).body.result as { id: string }[];
  const ids: Readonly<Record<string, string>> = {
    streams: stream.id as string,
    sinks: sink.id as string,
    pipelines: pipeline.id as string,
    tokens: token.id,
    namespaces: objects[0]?.id as string,
  };

  const surface: Surface = {
    operations,
    stream: stream.id as string,
    pathOf({ path }, odd) {
      const segments = path.split("/");
      return segments
        .map((segment, i) => {
          const name = /^:(\w+)/.exec(segment)?.[1];
          if (name === undefined) return segment;
          if (name === "account") return account;
          if (odd !== undefined) return odd;
          if (name === "id") return ids[segments[i - 1] as string] ?? NAME;
          if (name === "namespace" && path.includes("/storage/kv/")) return kv;
          return name === "database" ? database : NAME;
        })
        .join("/");
    },
    async send({ method }, path, headers, body) {
      const answer = await platform.fetch(`${api}${path}`, { method, headers, ...(body !== undefined && { body }) });
      const contentType = answer.headers.get("content-type") ?? "";
      // Lines that come for ever: the first chunk must do.
      const text = contentType === "application/x-ndjson" ? await beginning(answer.body) : await answer.text();
      return { status: answer.status, contentType, text };
    },
    async state() {
      const shown = new Map<string, unknown>();
      for (const operation of operations) {
        if (operation.method !== "GET" || operation.permission === "public" || MOVING.test(operation.op)) continue;
        const { status, text } = await surface.send(operation, surface.pathOf(operation), bearer(root));
        // Parts of a multipart answer have a boundary that is new each time.
        shown.set(operation.op, `${status} ${text.replace(/^--.*$/gm, "--")}`);
      }
      const tokens = (await platform.rest("GET", `/accounts/${account}/tokens?per_page=1000`)).body.result as { id: string }[];
      return shown.set("tokens", tokens.map(({ id }) => id).sort());
    },
  };
  return surface;
}

async function beginning(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  for await (const chunk of body ?? []) return Buffer.from(chunk).toString("utf8");
  return "";
}

/** The form that uploads a Worker of one module with a Durable Object class `Guarded`. */
function workerUpload(code: string): FormData {
  const metadata = {
    main_module: "index.js",
    compatibility_date: "2026-11-01",
    bindings: [
      { type: "durable_object_namespace", name: "OBJECTS", class_name: "Guarded" },
      { type: "secret_text", name: NAME, text: "secret" },
    ],
    migrations: { new_tag: "v1", steps: [{ new_sqlite_classes: ["Guarded"] }] },
  };
  const form = new FormData();
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  form.set("index.js", new Blob([code], { type: "application/javascript+module" }), "index.js");
  return form;
}
