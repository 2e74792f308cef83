/** REST of the messages that Workers have sent: ours, since the real service delivers them and keeps none. */
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Route } from "../../kernel/product.ts";
import type { Sent } from "./sent.ts";

const BASE = "/accounts/:account/email/routing/sent";
const READ = ["Email Routing Addresses Read", "Email Routing Addresses Write"] as const;

export const emailRoutes = (sent: Sent): Route[] => [
  {
    op: "emailRouting.sent.list",
    method: "GET",
    path: BASE,
    permission: READ,
    async handle(c) {
      const { result, resultInfo } = numberedPage(await sent.list(), c.query, 100, 20);
      return { page: true, result, resultInfo };
    },
  },
  {
    op: "emailRouting.sent.get",
    method: "GET",
    path: `${BASE}/:id`,
    permission: READ,
    handle: async (c) => sent.get(c.params.id as string),
  },
  {
    op: "emailRouting.sent.raw",
    method: "GET",
    path: `${BASE}/:id/raw`,
    permission: READ,
    async handle(c) {
      const bytes = await sent.raw(c.params.id as string);
      return new Response(bytes as Uint8Array<ArrayBuffer>, {
        headers: { "content-type": "message/rfc822", "content-disposition": "attachment" },
      });
    },
  },
];
