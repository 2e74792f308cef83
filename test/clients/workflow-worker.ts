/** A Worker with workflows, and calls of their bindings from a test: what several files about Workflows share. */
import assert from "node:assert/strict";
import type { TestPlatform } from "../harness/platform.ts";
import { deployWorker, type WorkerProject } from "../harness/worker-project.ts";

/**
 * A Worker with the given classes as workflows `<worker>-<class in lower case>`, bound under the class's name. `POST /<class>`
 * with `{ call, id, args }` calls the binding (`create`, `createBatch`, `get`) or a method of the instance `id`. Classes count
 * what they do with `this.count(key)` and note it with `this.note(key, text)`, in an object that outlives every run.
 */
export async function deployFlows(
  platform: TestPlatform,
  name: string,
  classes: Readonly<Record<string, string>>,
  options: { readonly workflows?: Readonly<Record<string, object>>; readonly more?: object } = {},
): Promise<Flows> {
  const source = `
import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";

export class Counter extends DurableObject {
  add() { this.ctx.storage.kv.put("n", this.get() + 1); return this.get(); }
  get() { return this.ctx.storage.kv.get("n") ?? 0; }
  note(text) { this.ctx.storage.kv.put("notes", [...this.notes(), text]); }
  notes() { return this.ctx.storage.kv.get("notes") ?? []; }
}
class Base extends WorkflowEntrypoint {
  count(key) { return this.env.COUNTER.getByName(key).add(); }
  note(key, text) { return this.env.COUNTER.getByName(key).note(text); }
}
${Object.entries(classes)
  .map(([className, run]) => `export class ${className} extends Base {\n  async run(event, step) {\n${run}\n  }\n}`)
  .join("\n")}
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/count") return Response.json(await env.COUNTER.getByName(searchParams.get("key")).get());
    if (pathname === "/notes") return Response.json(await env.COUNTER.getByName(searchParams.get("key")).notes());
    const { call, id, args = [] } = await request.json();
    const binding = env[pathname.slice(1)];
    try {
      if (id === undefined) {
        const made = await binding[call](...args);
        const shown = (one) => ({ id: one.id });
        return Response.json(Array.isArray(made) ? made.map(shown) : made.created ? { ...made, created: made.created.map(shown) } : made.id ? shown(made) : made);
      }
      return Response.json((await (await binding.get(id))[call](...args)) ?? null);
    } catch (error) {
      return Response.json({ name: error.name, error: error.message }, { status: 500 });
    }
  },
};`;
  const project = await deployWorker(platform, {
    files: { "index.js": source },
    config: {
      name,
      durable_objects: { bindings: [{ name: "COUNTER", class_name: "Counter" }] },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Counter"] }],
      workflows: Object.keys(classes).map((className) => ({
        name: `${name}-${className.toLowerCase()}`,
        binding: className,
        class_name: className,
        ...options.workflows?.[className],
      })),
      ...options.more,
    },
  });
  return flowsOf(platform, name, project.url, project);
}

/** The same Worker on a platform that has it already. */
export function openFlows(platform: TestPlatform, { name, url }: Pick<Flows, "name" | "url">): Flows {
  const moved = new URL(url);
  moved.port = new URL(platform.ready.gateway).port;
  return flowsOf(platform, name, moved.origin);
}

export interface Flows {
  readonly name: string;
  readonly url: string;
  /** Of a Worker that was deployed here. */
  readonly project: WorkerProject | undefined;
  /** Calls the binding of a class; the answer, or an error as `{ name, error }`. */
  // biome-ignore lint/suspicious/noExplicitAny: answers have as many shapes as there are calls; tests check them.
  call(className: string, call: string, ...args: unknown[]): Promise<any>;
  /** Calls a method of an instance. */
  // biome-ignore lint/suspicious/noExplicitAny: the same.
  of(className: string, id: string, call: string, ...args: unknown[]): Promise<any>;
  /** The status object once it is one of these; fails when the instance ends otherwise. */
  until(
    className: string,
    id: string,
    ...statuses: string[]
  ): Promise<{ status: string; output: unknown; error?: { name: string; message: string } }>;
  /** The instance as the REST API shows it. */
  // biome-ignore lint/suspicious/noExplicitAny: the same.
  detail(className: string, id: string): Promise<any>;
  /** How often `this.count(key)` ran. */
  count(key: string): Promise<number>;
  /** What `this.note(key, …)` noted. */
  notes(key: string): Promise<string[]>;
  /** Path of a class's workflow in the REST API. */
  path(className: string): string;
}

/** Looks at an instance before it is given up: some of them, slow as a loaded machine. */
const TRIES = 600;
const ENDED = ["complete", "errored", "terminated"];

function flowsOf(platform: TestPlatform, name: string, url: string, project?: WorkerProject): Flows {
  async function post(className: string, content: object) {
    const response = await platform.fetch(`${url}/${className}`, { method: "POST", body: JSON.stringify(content) });
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch {
      throw new Error(`${response.status} ${text.slice(0, 500)}`);
    }
  }
  const path = (className: string): string => `/accounts/${platform.ready.account_id}/workflows/${name}-${className.toLowerCase()}`;
  const flows: Flows = {
    name,
    url,
    project,
    path,
    call: (className, call, ...args) => post(className, { call, args }),
    of: (className, id, call, ...args) => post(className, { id, call, args }),
    async until(className, id, ...statuses) {
      for (let tries = 0; tries < TRIES; tries++) {
        const status = await flows.of(className, id, "status");
        if (statuses.includes(status.status)) return status;
        if (status.status === undefined || ENDED.includes(status.status)) assert.fail(`${className} ${id}: ${JSON.stringify(status)}`);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      return assert.fail(`${className} ${id} is not ${statuses}: ${JSON.stringify(await flows.detail(className, id))}`);
    },
    detail: async (className, id) => (await platform.rest("GET", `${path(className)}/instances/${id}`)).body.result,
    async count(key) {
      return (await (await platform.fetch(`${url}/count?key=${encodeURIComponent(key)}`)).json()) as number;
    },
    async notes(key) {
      return (await (await platform.fetch(`${url}/notes?key=${encodeURIComponent(key)}`)).json()) as string[];
    },
  };
  return flows;
}
