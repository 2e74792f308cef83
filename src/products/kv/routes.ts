/** REST of namespaces: /accounts/{account}/storage/kv/namespaces (docs/kv/reference/kv-commands, `cloudflare` SDK 7.3.0). */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import { platformError } from "../../kernel/errors.ts";
import type { Route } from "../../kernel/product.ts";
import type { KvEngine } from "./engine.ts";
import type { Namespace } from "./namespaces.ts";
import { BASE, during, namespaceId, READ, WRITE } from "./rest.ts";
import { valueRoutes } from "./routes-values.ts";
import type { Sweeper } from "./sweeper.ts";

const PER_PAGE_MAX = 1000;

const NewNamespace = z.object({
  title: z.string().optional(),
  jurisdiction: z.enum(["eu", "fedramp", "us"]).optional(),
  mode: z.string().optional(),
});

export function kvRoutes(engine: KvEngine, sweeper: Sweeper): Route[] {
  const { namespaces } = engine;
  return [
    {
      op: "kv.namespaces.list",
      method: "GET",
      path: BASE,
      permission: READ,
      async handle({ query }) {
        const order = query.get("order") === "title" ? "title" : "id";
        return numberedPage(namespaces.list(order, query.get("direction") === "desc").map(render), query, PER_PAGE_MAX);
      },
    },
    {
      op: "kv.namespaces.create",
      method: "POST",
      path: BASE,
      permission: WRITE,
      async handle(context) {
        const { title, jurisdiction, mode } = await context.json(NewNamespace);
        if (mode !== undefined) throw platformError("notImplemented", `KV storage mode "${mode}" is not implemented`);
        return render(await namespaces.create(title ?? "", jurisdiction ?? null));
      },
    },
    {
      op: "kv.namespaces.get",
      method: "GET",
      path: `${BASE}/:namespace`,
      permission: READ,
      handle: (context) => during("get namespace", async () => render(namespaces.require(namespaceId(context)))),
    },
    {
      op: "kv.namespaces.rename",
      method: "PUT",
      path: `${BASE}/:namespace`,
      permission: WRITE,
      async handle(context) {
        const { title } = await context.json(NewNamespace);
        return during("rename namespace", async () => render(await namespaces.rename(namespaceId(context), title ?? "")));
      },
    },
    {
      op: "kv.namespaces.delete",
      method: "DELETE",
      path: `${BASE}/:namespace`,
      permission: WRITE,
      handle: (context) =>
        during("remove namespace", async () => {
          await namespaces.remove(namespaceId(context));
          sweeper.wake();
          return null;
        }),
    },
    ...valueRoutes(engine),
  ];
}

function render({ id, title, jurisdiction }: Namespace): Record<string, unknown> {
  return { id, title, supports_url_encoding: true, ...(jurisdiction !== null && { jurisdiction }) };
}
