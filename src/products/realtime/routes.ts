/** REST of apps and TURN keys (`/calls`), as the `cloudflare` SDKs send it. */
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { type Items, itemSchema } from "./items.ts";

export const READ = ["Calls Read", "Calls Write"] as const;
export const WRITE = ["Calls Write"] as const;

interface Noun {
  /** Of operations: "realtime.apps". */
  readonly op: string;
  /** Of the audit log: "Realtime app". */
  readonly audited: string;
  readonly path: string;
  readonly items: Items;
  /** What the secret is called when it is shown. */
  readonly secret: "secret" | "key";
  readonly created?: () => Promise<void>;
  readonly removed: (uid: string) => Promise<void>;
}

export function itemRoutes({ op, audited, path, items, secret: secretName, created, removed }: Noun): Route[] {
  const uid = (c: RequestContext): string => c.params.uid as string;
  const root = `/accounts/:account/calls/${path}`;
  const note = (c: RequestContext, type: "create" | "update" | "delete", id: string): void => {
    const verb = type[0]?.toUpperCase() + type.slice(1);
    c.audit({ info: `${verb} ${audited}`, type, resource: { type: op, id } });
  };
  return [
    {
      op: `${op}.list`,
      method: "GET",
      path: root,
      permission: READ,
      handle: async (c) => numberedPage(await items.list(), c.query, 1000, 1000),
    },
    {
      op: `${op}.create`,
      method: "POST",
      path: root,
      permission: WRITE,
      async handle(c) {
        const { name = "" } = await c.json(itemSchema);
        const { secret, ...item } = await items.create(name);
        note(c, "create", item.uid);
        await created?.();
        return Response.json({ result: { ...item, [secretName]: secret }, success: true, errors: [], messages: [] }, { status: 201 });
      },
    },
    { op: `${op}.get`, method: "GET", path: `${root}/:uid`, permission: READ, handle: (c) => items.get(uid(c)) },
    {
      op: `${op}.update`,
      method: "PUT",
      path: `${root}/:uid`,
      permission: WRITE,
      async handle(c) {
        const { name } = await c.json(itemSchema);
        const item = await items.rename(uid(c), name);
        note(c, "update", item.uid);
        return item;
      },
    },
    {
      op: `${op}.delete`,
      method: "DELETE",
      path: `${root}/:uid`,
      permission: WRITE,
      async handle(c) {
        const item = await items.remove(uid(c));
        note(c, "delete", item.uid);
        await removed(item.uid);
        return item;
      },
    },
  ];
}
