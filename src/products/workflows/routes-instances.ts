/** REST of instances: /accounts/{account}/workflows/{name}/instances (wrangler 4.164, `cloudflare` SDK 7.3.0). */
import { Readable } from "node:stream";
import { z } from "zod";
import { page } from "../../kernel/api/envelope.ts";
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { Clock } from "../../kernel/clock.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { workflowsError } from "./errors.ts";
import type { InstanceFilter, Instances } from "./instances.ts";
import { BATCH_MAX, type Creation, type Lifecycle } from "./lifecycle.ts";
import { hasEnded, type InstanceRow, STATUSES, type Status, type Workflow } from "./model.ts";
import { body, INSTANCE, INSTANCES, READ, WRITE } from "./rest.ts";
import type { Steps } from "./steps.ts";
import { encode } from "./values.worker.ts";
import { createdView, detailView, instanceView, iso, OUTPUT_SHOWN_BYTES, stepOutputView } from "./views.ts";
import type { Workflows } from "./workflows.ts";

export interface InstancesApi {
  readonly clock: Clock;
  readonly workflows: Workflows;
  readonly instances: Instances;
  readonly steps: Steps;
  readonly lifecycle: Lifecycle;
  readonly blobs: BlobStore;
}

const PER_PAGE_DEFAULT = 20;
const PER_PAGE_MAX = 100;
const STEP_NAME = /^(.*)-(\d+)$/s;

const retention = z.union([z.number(), z.string()]).optional();
const creation = z.object({
  instance_id: z.string().nullish(),
  params: z.unknown().optional(),
  instance_retention: z.object({ success_retention: retention, error_retention: retention }).nullish(),
  location_hint: z.string().nullish(),
});
const ids = z.object({ instances: z.array(z.string()) });
const from = z.object({
  name: z.string().min(1).max(256),
  count: z.number().int().positive().optional(),
  type: z.enum(["do", "sleep", "waitForEvent"]).optional(),
});
const statusChange = z.object({
  status: z.enum(["pause", "resume", "terminate", "restart"]),
  rollback: z.boolean().optional(),
  from: from.optional(),
});
const direction = z.enum(["asc", "desc"]);

export function instanceRoutes(api: InstancesApi): Route[] {
  return [...listRoutes(api), ...creationRoutes(api), ...oneRoutes(api)];
}

const workflowOf = ({ workflows }: InstancesApi, { params }: RequestContext): Workflow => workflows.require(params.workflow as string);

function listRoutes(api: InstancesApi): Route[] {
  const { instances, lifecycle } = api;
  const list: Route["handle"] = async (context) => {
    const workflow = workflowOf(api, context);
    const { number, filter } = filterOf(context.query);
    // One more than is shown says whether there is a next page.
    const rows = await instances.list(workflow.id, { ...filter, limit: filter.limit + 1 });
    const shown = rows.slice(0, filter.limit);
    const last = shown.at(-1);
    const total = await instances.count(workflow.id, filter);
    return page(shown.map(instanceView), {
      count: shown.length,
      per_page: filter.limit,
      total_count: total,
      ...(number !== undefined && { page: number, total_pages: Math.ceil(total / filter.limit) }),
      ...(last !== undefined && rows.length > filter.limit && { cursor: cursorOf(last, filter.ascending === true) }),
    });
  };
  return [
    { op: "workflows.instances.list", method: "GET", path: INSTANCES, permission: READ, handle: list },
    // As wrangler asks for the newest.
    { op: "workflows.instances.newest", method: "GET", path: `${INSTANCES}/`, permission: READ, handle: list },
    {
      op: "workflows.instances.terminateAll",
      method: "PUT",
      path: `${INSTANCES}/terminate`,
      permission: WRITE,
      async handle(context) {
        const workflow = workflowOf(api, context);
        const status = statusOf(context.query);
        context.audit({ info: "TerminateInstances", type: "update", resource: { type: "workflows.workflow", id: workflow.id } });
        for (const one of status === undefined ? STATUSES : [status]) {
          if (hasEnded(one)) continue;
          for (;;) {
            const rows = await instances.list(workflow.id, { status: one, limit: BATCH_MAX });
            for (const row of rows) await terminate(lifecycle, workflow, row);
            if (rows.length < BATCH_MAX) break;
          }
        }
        return { status: "ok" };
      },
    },
    {
      op: "workflows.instances.deleteBatch",
      method: "POST",
      path: `${INSTANCES}/batch/delete`,
      permission: WRITE,
      async handle(context) {
        const workflow = workflowOf(api, context);
        const wanted = await body(context, ids);
        if (wanted.instances.length === 0 || wanted.instances.length > BATCH_MAX) throw workflowsError("batchTooLarge");
        return lifecycle.deleteBatch(workflow, wanted.instances);
      },
    },
  ];
}

/** One that has ended meanwhile is what was wanted. */
async function terminate(lifecycle: Lifecycle, workflow: Workflow, row: InstanceRow): Promise<void> {
  try {
    await lifecycle.terminate(workflow, row.id, "api");
  } catch (error) {
    if (!(error instanceof PlatformError && /^workflows\.(cannotTerminate|instanceNotFound)$/.test(error.code))) throw error;
  }
}

function creationRoutes(api: InstancesApi): Route[] {
  const { lifecycle } = api;
  return [
    {
      op: "workflows.instances.create",
      method: "POST",
      path: INSTANCES,
      permission: WRITE,
      async handle(context) {
        const workflow = workflowOf(api, context);
        return createdView(await lifecycle.create(workflow, creationOf(await body(context, creation)), "api"));
      },
    },
    {
      op: "workflows.instances.createBatch",
      method: "POST",
      path: `${INSTANCES}/batch`,
      permission: WRITE,
      async handle(context) {
        const workflow = workflowOf(api, context);
        const { rows } = await lifecycle.createBatch(workflow, (await body(context, z.array(creation))).map(creationOf), "api");
        return rows.map(createdView);
      },
    },
  ];
}

function creationOf({ instance_id, params = {}, instance_retention }: z.infer<typeof creation>): Creation {
  return {
    ...(instance_id != null && { id: instance_id }),
    params: encode(params),
    retention: { successRetention: instance_retention?.success_retention, errorRetention: instance_retention?.error_retention },
  };
}

function oneRoutes(api: InstancesApi): Route[] {
  const { clock, lifecycle, steps, blobs } = api;
  return [
    {
      op: "workflows.instances.get",
      method: "GET",
      path: INSTANCE,
      permission: READ,
      async handle(context) {
        const ref = lifecycle.refOf(workflowOf(api, context), context.params.instance);
        const row = await lifecycle.require(ref);
        const descending = context.query.get("order") === "desc";
        return detailView(row, await steps.all(ref, OUTPUT_SHOWN_BYTES), { descending, simple: context.query.get("simple") === "true" });
      },
    },
    {
      op: "workflows.instances.step",
      method: "GET",
      path: `${INSTANCE}/step`,
      permission: READ,
      async handle(context) {
        const ref = lifecycle.refOf(workflowOf(api, context), context.params.instance);
        await lifecycle.require(ref);
        const [, name, nth] = STEP_NAME.exec(context.query.get("name") ?? "") ?? [];
        const type = context.query.get("type") === "waitForEvent" ? "waitForEvent" : "do";
        const row = name === undefined ? undefined : await steps.get(ref, { type, name, nth: Number(nth) });
        if (row === undefined) throw workflowsError("stepNotFound");
        const view = stepOutputView(row);
        if (row.blob === null || view.output !== null) return view;
        const stream = Readable.toWeb(await blobs.read(row.blob as BlobId)) as ReadableStream;
        return new Response(stream, { headers: { "content-type": "application/octet-stream", "content-length": String(row.bytes) } });
      },
    },
    {
      op: "workflows.instances.status",
      method: "PATCH",
      path: `${INSTANCE}/status`,
      permission: WRITE,
      async handle(context) {
        const workflow = workflowOf(api, context);
        const id = context.params.instance as string;
        const change = await body(context, statusChange);
        const changes = {
          pause: () => lifecycle.pause(workflow, id),
          resume: () => lifecycle.resume(workflow, id),
          terminate: () => lifecycle.terminate(workflow, id, "api", change.rollback),
          restart: () => lifecycle.restart(workflow, id, change.from),
        };
        const row = await changes[change.status]();
        return { status: row.status, timestamp: iso(row.modified_at) };
      },
    },
    {
      op: "workflows.instances.event",
      method: "POST",
      path: `${INSTANCE}/events/:type`,
      permission: WRITE,
      async handle(context) {
        const workflow = workflowOf(api, context);
        const id = context.params.instance as string;
        await lifecycle.sendEvent(workflow, id, context.params.type, encode(await body(context, z.unknown())));
        return { instanceId: id, timestamp: iso(clock.now()) };
      },
    },
  ];
}

// --- filters and cursors -----------------------------------------------------------------------------------

function filterOf(query: URLSearchParams): { number: number | undefined; filter: InstanceFilter } {
  const limit = integer(query, "per_page", PER_PAGE_DEFAULT, PER_PAGE_MAX);
  const range = { status: statusOf(query), from: timeOf(query, "date_start"), to: timeOf(query, "date_end"), limit };
  const cursor = query.get("cursor");
  if (cursor === null || cursor === "") {
    const number = integer(query, "page", 1, Number.MAX_SAFE_INTEGER);
    const ascending = direction.safeParse(query.get("direction")).data === "asc";
    return { number, filter: { ...range, ascending, offset: (number - 1) * limit } };
  }
  const { ascending, after } = readCursor(cursor);
  const wanted = direction.safeParse(query.get("direction")).data;
  return { number: undefined, filter: { ...range, ascending: wanted === undefined ? ascending : wanted === "asc", after } };
}

function integer(query: URLSearchParams, name: string, fallback: number, max: number): number {
  const value = Number(query.get(name) ?? fallback);
  if (!Number.isInteger(value) || value < 1) throw workflowsError("invalidBody", `"${name}" must be a whole number from 1`);
  return Math.min(value, max);
}

function statusOf(query: URLSearchParams): Status | undefined {
  const status = query.get("status");
  if (status === null) return undefined;
  const known = STATUSES.find((one) => one === status);
  if (known === undefined) throw workflowsError("invalidBody", `"status" must be one of ${STATUSES.join(", ")}`);
  return known;
}

function timeOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  // Without an offset it is UTC.
  const time = Date.parse(/T.*(Z|[+-]\d\d:?\d\d)$/.test(text) || !text.includes("T") ? text : `${text}Z`);
  if (Number.isNaN(time)) throw workflowsError("invalidBody", `"${name}" must be a time in ISO 8601`);
  return time;
}

const CURSOR_VERSION = 1;

const cursorOf = ({ created_at, id }: InstanceRow, ascending: boolean): string =>
  Buffer.from(JSON.stringify([CURSOR_VERSION, created_at, id, ascending])).toString("base64url");

const cursorSchema = z.tuple([z.literal(CURSOR_VERSION), z.number(), z.string(), z.boolean()]);

function readCursor(text: string): { ascending: boolean; after: { createdAt: number; id: string } } {
  try {
    const [, createdAt, id, ascending] = cursorSchema.parse(JSON.parse(Buffer.from(text, "base64url").toString("utf8")));
    return { ascending, after: { createdAt, id } };
  } catch (cause) {
    throw workflowsError("invalidBody", "The cursor is not one that this list gave", { cause });
  }
}
