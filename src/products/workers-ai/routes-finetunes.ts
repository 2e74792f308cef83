/** REST of finetunes, as `wrangler ai finetune` and the `cloudflare` SDK send it. */
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { aiError } from "./errors.ts";
import { ASSET_MAX_BYTES, type Finetunes, newFinetune } from "./finetunes.ts";
import { BASE, READ, WRITE } from "./routes.ts";

/** What a form has around the file. */
const FORM_BYTES = 64 * 1024;

export function finetuneRoutes(finetunes: Finetunes): Route[] {
  async function addAsset(context: RequestContext): Promise<unknown> {
    const form = await formOf(context);
    const [name, file] = [form.get("file_name"), form.get("file")];
    if (typeof name !== "string" || file === null || typeof file === "string")
      throw aiError("incomplete", "Request is missing headers or body: file_name, file");
    const asset = await finetunes.addAsset(context.params.finetune as string, name, file.stream());
    const resource = { type: "workers_ai_finetune", id: String(asset.id) };
    context.audit({ info: "UploadFinetuneAsset", type: "update", resource, newValue: asset });
    return asset;
  }
  const asset = (path: string, op: string): Route => ({ op, method: "POST", path, permission: WRITE, handle: addAsset });
  return [
    { op: "workersAi.finetunes.list", method: "GET", path: `${BASE}/finetunes`, permission: READ, handle: () => finetunes.list() },
    {
      op: "workersAi.finetunes.public",
      method: "GET",
      path: `${BASE}/finetunes/public`,
      permission: READ,
      handle: async ({ query }) => numberedPage(finetunes.public, query),
    },
    {
      op: "workersAi.finetunes.create",
      method: "POST",
      path: `${BASE}/finetunes`,
      permission: WRITE,
      async handle(context) {
        const finetune = await finetunes.create(await context.json(newFinetune));
        const resource = { type: "workers_ai_finetune", id: finetune.id };
        context.audit({ info: "CreateFinetune", type: "create", resource, newValue: { name: finetune.name, model: finetune.model } });
        return finetune;
      },
    },
    asset(`${BASE}/finetunes/:finetune/finetune-assets`, "workersAi.finetunes.assets.create"),
    // As the documentation's own commands write it.
    asset(`${BASE}/finetunes/:finetune/finetune-assets/`, "workersAi.finetunes.assets.createSlash"),
  ];
}

async function formOf(context: RequestContext): Promise<FormData> {
  const body = await context.bytes(ASSET_MAX_BYTES + FORM_BYTES);
  const headers = { "content-type": context.headers.get("content-type") ?? "" };
  return new Response(new Uint8Array(body), { headers }).formData().catch((cause: unknown) => {
    throw aiError("incomplete", "Request is missing headers or body: a form with file_name and file", { cause });
  });
}
