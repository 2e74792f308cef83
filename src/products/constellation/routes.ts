/** REST of Constellation, as `wrangler constellation` of versions 3.3 to 3.57 sends it. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Config } from "../../kernel/config.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Catalog } from "./catalog.ts";
import { constellationError } from "./errors.ts";
import { RUNTIMES } from "./predictor.ts";
import type { NewModel, Projects } from "./projects.ts";

const ROOT = "/accounts/:account/constellation";
const PROJECT = `${ROOT}/project/:project`;
const READ = ["Constellation Read", "Constellation Write"] as const;
const WRITE = ["Constellation Write"] as const;
/** wrangler asks for so many a page. */
const PER_PAGE = 50;
/** What a form has besides its file. */
const FORM_REST_BYTES = 64 * 1024;
const DESCRIPTION_MAX = 4096;

const newProject = z.object({ name: z.string(), runtime: z.string() });

export function constellationRoutes(projects: Projects, catalog: Catalog, config: Config): Route[] {
  const param = (c: RequestContext, key: "project" | "model"): string => c.params[key] as string;

  async function modelForm(c: RequestContext): Promise<NewModel> {
    const bytes = await c.bytes(config["constellation.model_max_bytes"] + FORM_REST_BYTES).catch((error: unknown) => {
      throw (error as { code?: string }).code === "platform.bodyTooLarge" ? constellationError("tooLarge") : error;
    });
    const headers = { "content-type": c.headers.get("content-type") ?? "" };
    const form = await new Response(new Uint8Array(bytes), { headers }).formData().catch((cause: unknown) => {
      throw constellationError("invalid", "The body is no form", { cause });
    });
    const [file, name, description] = [form.get("file"), form.get("name"), form.get("description") ?? ""];
    if (!(file instanceof File)) throw constellationError("invalid", "file: the model is missing");
    if (typeof name !== "string") throw constellationError("invalid", "name: missing");
    if (typeof description !== "string" || description.length > DESCRIPTION_MAX)
      throw constellationError("invalid", "description: too long");
    return { name, description, bytes: new Uint8Array(await file.arrayBuffer()) };
  }

  return [
    {
      op: "constellation.projects.list",
      method: "GET",
      path: `${ROOT}/project`,
      permission: READ,
      handle: async (c) => numberedPage(await projects.list(), c.query, 1000, PER_PAGE),
    },
    {
      op: "constellation.projects.create",
      method: "POST",
      path: `${ROOT}/project`,
      permission: WRITE,
      async handle(c) {
        const { name, runtime } = await c.json(newProject);
        const known = RUNTIMES.find((one) => one.toLowerCase() === runtime.toLowerCase());
        if (known === undefined)
          throw constellationError("invalid", `runtime: "${runtime.slice(0, 100)}" is none of ${RUNTIMES.join(", ")}`);
        const project = await projects.create(name, known);
        c.audit({
          info: "CreateProject",
          type: "create",
          resource: { type: "project", id: project.id },
          newValue: { name, runtime: known },
        });
        return project;
      },
    },
    {
      op: "constellation.projects.get",
      method: "GET",
      path: PROJECT,
      permission: READ,
      handle: (c) => projects.find(param(c, "project")),
    },
    {
      op: "constellation.projects.delete",
      method: "DELETE",
      path: PROJECT,
      permission: WRITE,
      async handle(c) {
        const project = await projects.remove(param(c, "project"));
        c.audit({ info: "DeleteProject", type: "delete", resource: { type: "project", id: project.id } });
        return project;
      },
    },
    {
      op: "constellation.models.list",
      method: "GET",
      path: `${PROJECT}/model`,
      permission: READ,
      handle: async (c) => numberedPage(await projects.models(param(c, "project")), c.query, 1000, PER_PAGE),
    },
    {
      op: "constellation.models.create",
      method: "POST",
      path: `${PROJECT}/model`,
      permission: WRITE,
      async handle(c) {
        const model = await projects.addModel(param(c, "project"), await modelForm(c));
        const { id, project_id, name } = model;
        c.audit({ info: "UploadModel", type: "create", resource: { type: "model", id }, newValue: { project_id, name } });
        return model;
      },
    },
    {
      op: "constellation.models.delete",
      method: "DELETE",
      path: `${PROJECT}/model/:model`,
      permission: WRITE,
      async handle(c) {
        const model = await projects.removeModel(param(c, "project"), param(c, "model"));
        c.audit({ info: "DeleteModel", type: "delete", resource: { type: "model", id: model.id } });
        return model;
      },
    },
    {
      op: "constellation.catalog",
      method: "GET",
      path: `${ROOT}/catalog`,
      permission: READ,
      handle: async (c) => numberedPage(catalog.entries, c.query, 1000, PER_PAGE),
    },
    {
      op: "constellation.runtimes",
      method: "GET",
      path: `${ROOT}/runtime`,
      permission: READ,
      handle: async (c) => numberedPage(RUNTIMES, c.query, 1000, PER_PAGE),
    },
  ];
}
