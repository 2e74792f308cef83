/** REST of legacy pipelines: `/accounts/{account}/pipelines`, by name. Wrangler lists them beside the new ones and falls back to them for names that v1 does not know. */
import { numberedPage } from "../../../kernel/api/envelope.ts";
import type { KernelSlice, Route } from "../../../kernel/product.ts";
import type { LegacyPipeline, LegacyPipelines } from "./legacy-pipelines.ts";
import { pipelineBody } from "./settings.ts";

const READ = ["Workers Pipelines Read"];
const WRITE = ["Workers Pipelines Write"];
const BODY_MAX_BYTES = 64 * 1024;
/** Wrangler asks for one page and takes it for all. */
const PER_PAGE = 1000;

export function legacyRoutes(kernel: KernelSlice, pipelines: LegacyPipelines): Route[] {
  const path = "/accounts/:account/pipelines";
  const wire = ({ id, version, wire }: LegacyPipeline): unknown => ({
    ...wire,
    id,
    version,
    endpoint: `${kernel.urls.host(`${id}.pipelines`)}/`,
  });
  return [
    {
      op: "pipelines.legacy.list",
      method: "GET",
      path,
      permission: READ,
      async handle({ query }) {
        const prefix = query.get("search") ?? "";
        const found = pipelines.list().filter((pipeline) => pipeline.name.startsWith(prefix));
        return numberedPage(found.map(wire), query, PER_PAGE, PER_PAGE);
      },
    },
    {
      op: "pipelines.legacy.create",
      method: "POST",
      path,
      permission: WRITE,
      handle: async (context) => wire(await pipelines.create(await context.json(pipelineBody, BODY_MAX_BYTES))),
    },
    {
      op: "pipelines.legacy.get",
      method: "GET",
      path: `${path}/:name`,
      permission: READ,
      handle: async ({ params }) => wire(pipelines.require(params.name as string)),
    },
    {
      op: "pipelines.legacy.update",
      method: "PUT",
      path: `${path}/:name`,
      permission: WRITE,
      async handle(context) {
        const { name } = pipelines.require(context.params.name as string);
        return wire(await pipelines.update(name, await context.json(pipelineBody, BODY_MAX_BYTES)));
      },
    },
    {
      op: "pipelines.legacy.delete",
      method: "DELETE",
      path: `${path}/:name`,
      permission: WRITE,
      handle: async ({ params }) => pipelines.remove(params.name as string),
    },
  ];
}
