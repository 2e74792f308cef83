/** REST of workflows and their versions: /accounts/{account}/workflows (wrangler 4.164, `cloudflare` SDK 7.3.0). */
import { z } from "zod";
import type { Change } from "../../kernel/api/audit.ts";
import { numberedPage, page } from "../../kernel/api/envelope.ts";
import type { Dispatch } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import { nextRun, parse as parseCron } from "../../kernel/cron-expression.ts";
import type { Route } from "../../kernel/product.ts";
import { milliseconds } from "./durations.worker.ts";
import type { Engine } from "./engine.ts";
import { workflowsError } from "./errors.ts";
import type { Instances } from "./instances.ts";
import type { Workflow, WorkflowSettings } from "./model.ts";
import { BASE, body, READ, WORKFLOW, WRITE } from "./rest.ts";
import { putView, versionView, type WorkflowFacts, workflowView } from "./views.ts";
import type { Workflows } from "./workflows.ts";

export interface WorkflowsApi {
  readonly clock: Clock;
  readonly workflows: Workflows;
  readonly instances: Instances;
  readonly engine: Engine;
  readonly dispatch: Pick<Dispatch, "has" | "exports">;
  /** The settings or the list of workflows have changed. */
  readonly changed: () => void;
}

/** Documented largest value of `limits.steps`. */
const STEPS_MAX = 25_000;
const CRONS_MAX = 250;

const retention = z.union([z.number(), z.string()]).transform((value, context) => {
  const ms = milliseconds(value);
  if (ms > 0) return Math.ceil(ms);
  context.addIssue({ code: "custom", message: 'must be a number of milliseconds or a text such as "3 days"' });
  return z.NEVER;
});

const content = z.object({
  script_name: z.string().min(1),
  class_name: z.string().min(1),
  limits: z.object({ steps: z.number().int().min(1).max(STEPS_MAX).optional() }).nullish(),
  concurrency: z.object({ limit: z.number().int().min(1).optional() }).nullish(),
  schedules: z
    .array(z.object({ cron: z.string() }))
    .max(CRONS_MAX)
    .nullish(),
  default_retention: z.object({ success_retention: retention.optional(), error_retention: retention.optional() }).nullish(),
  jurisdiction: z.enum(["eu", "us", "fedramp"]).nullish(),
});

export function workflowRoutes(api: WorkflowsApi): Route[] {
  const { clock, workflows, instances, engine, dispatch } = api;

  async function factsOf(workflow: Workflow): Promise<WorkflowFacts> {
    const now = clock.now();
    return {
      counts: await instances.countByStatus(workflow.id),
      triggeredAt: await instances.newest(workflow.id),
      scriptDeleted: !dispatch.has(workflow.scriptName),
      nextRuns: (workflow.settings.crons ?? []).map((cron) => ({ cron, at: nextRun(cron, now) })),
    };
  }
  const view = async (workflow: Workflow) => workflowView(workflow, await factsOf(workflow));

  return [
    {
      op: "workflows.list",
      method: "GET",
      path: BASE,
      permission: READ,
      async handle({ query }) {
        const search = (query.get("search") ?? "").toLowerCase();
        const cut = numberedPage(
          workflows.list().filter(({ name }) => name.toLowerCase().includes(search)),
          query,
          100,
        );
        return page(await Promise.all(cut.result.map(view)), cut.resultInfo);
      },
    },
    {
      op: "workflows.get",
      method: "GET",
      path: WORKFLOW,
      permission: READ,
      handle: ({ params }) => view(workflows.require(params.workflow as string)),
    },
    {
      op: "workflows.put",
      method: "PUT",
      path: WORKFLOW,
      permission: WRITE,
      async handle(context) {
        const name = context.params.workflow as string;
        const wanted = await body(context, content);
        const settings = settingsOf(wanted);
        const exported = dispatch.exports(wanted.script_name);
        if (exported === undefined) throw workflowsError("scriptNotFound", `Worker "${wanted.script_name}" does not exist`);
        if (!exported.some((e) => e.name === wanted.class_name && e.type === "workflow"))
          throw workflowsError("classNotFound", `Worker "${wanted.script_name}" exports no workflow class "${wanted.class_name}"`);
        const existed = workflows.find(name) !== undefined;
        const workflow = await workflows.put(name, {
          scriptName: wanted.script_name,
          className: wanted.class_name,
          language: "javascript",
          settings,
        });
        api.changed();
        engine.look(workflow);
        context.audit(changeOf(workflow, existed ? "UpdateWorkflow" : "CreateWorkflow"));
        return putView(workflow, await instances.newest(workflow.id));
      },
    },
    {
      op: "workflows.delete",
      method: "DELETE",
      path: WORKFLOW,
      permission: WRITE,
      async handle(context) {
        const workflow = await workflows.remove(context.params.workflow as string);
        engine.dropAll(workflow);
        api.changed();
        context.audit(changeOf(workflow, "DeleteWorkflow"));
        return { status: "ok", success: true };
      },
    },
    {
      op: "workflows.versions.list",
      method: "GET",
      path: `${WORKFLOW}/versions`,
      permission: READ,
      async handle({ params, query }) {
        const cut = numberedPage(await workflows.versions(workflows.require(params.workflow as string)), query, 100);
        return page(cut.result.map(versionView), cut.resultInfo);
      },
    },
    {
      op: "workflows.versions.get",
      method: "GET",
      path: `${WORKFLOW}/versions/:version`,
      permission: READ,
      handle: async ({ params }) =>
        versionView(await workflows.version(workflows.require(params.workflow as string), params.version as string)),
    },
  ];
}

function settingsOf({ limits, concurrency, schedules, default_retention, jurisdiction }: z.infer<typeof content>): WorkflowSettings {
  const crons = schedules?.map(({ cron }) => cron) ?? [];
  for (const cron of crons) {
    try {
      parseCron(cron);
    } catch (cause) {
      throw workflowsError("invalidCron", `"${cron}" is no valid cron expression: ${(cause as Error).message}`, { cause });
    }
  }
  return {
    ...(limits?.steps !== undefined && { steps: limits.steps }),
    ...(concurrency?.limit !== undefined && { concurrency: concurrency.limit }),
    ...(crons.length > 0 && { crons }),
    ...(default_retention?.success_retention !== undefined && { successRetentionMs: default_retention.success_retention }),
    ...(default_retention?.error_retention !== undefined && { errorRetentionMs: default_retention.error_retention }),
    ...(jurisdiction != null && { jurisdiction }),
  };
}

const TYPES = { CreateWorkflow: "create", UpdateWorkflow: "update", DeleteWorkflow: "delete" } as const;

const changeOf = (workflow: Workflow, info: keyof typeof TYPES): Change => ({
  info,
  type: TYPES[info],
  resource: { type: "workflows.workflow", id: workflow.id },
  newValue: { name: workflow.name, script_name: workflow.scriptName, class_name: workflow.className },
});
