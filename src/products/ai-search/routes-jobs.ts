/** REST of indexing jobs under both paths of instances. */
import { z } from "zod";
import { parseWith } from "../../kernel/api/body.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Instance } from "./instances.ts";
import { type Job, jobView } from "./jobs.ts";
import { bodyOf, INSTANCE_BASES, instanceOf, param, READ, type SearchApi, WRITE } from "./rest.ts";

const newJob = z.object({ description: z.string().max(1000).nullish() });
const change = z.object({ action: z.literal("cancel") });

export function jobRoutes(api: SearchApi): Route[] {
  const { jobs, indexer } = api;
  const jobOf = (context: RequestContext): Promise<Job> => jobs.require(instanceOf(api, context), param(context, "job"));

  async function cancel(context: RequestContext): Promise<Record<string, unknown>> {
    parseWith(change, await bodyOf(context));
    const instance: Instance = instanceOf(api, context);
    const job = await jobOf(context);
    if (await jobs.end(job.id, "cancelled")) indexer.interrupt(instance.uid);
    context.audit({ info: "indexing job cancelled", type: "update", resource: { type: "ai_search.job", id: job.id } });
    return jobView(await jobs.require(instance, job.id));
  }

  return INSTANCE_BASES.flatMap(({ op, path }): Route[] => [
    {
      op: `${op}.jobs.list`,
      method: "GET",
      path: `${path}/:id/jobs`,
      permission: READ,
      handle: (context) => jobs.list(instanceOf(api, context), context.query),
    },
    {
      op: `${op}.jobs.create`,
      method: "POST",
      path: `${path}/:id/jobs`,
      permission: WRITE,
      async handle(context) {
        const instance = instanceOf(api, context);
        const { description } = parseWith(newJob, await bodyOf(context));
        const job = await jobs.request(instance, description ?? null);
        indexer.kick(instance.uid);
        return jobView(job);
      },
    },
    {
      op: `${op}.jobs.get`,
      method: "GET",
      path: `${path}/:id/jobs/:job`,
      permission: READ,
      handle: async (context) => jobView(await jobOf(context)),
    },
    { op: `${op}.jobs.update`, method: "PATCH", path: `${path}/:id/jobs/:job`, permission: WRITE, handle: cancel },
    {
      op: `${op}.jobs.logs`,
      method: "GET",
      path: `${path}/:id/jobs/:job/logs`,
      permission: READ,
      handle: async (context) => jobs.logs(await jobOf(context), context.query),
    },
  ]);
}
