/** REST of destination addresses, and the page behind the link that verifies one. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Destination, Destinations } from "./destinations.ts";
import type { Rules } from "./rules.ts";

const BASE = "/accounts/:account/email/routing/addresses";
const READ = ["Email Routing Addresses Read", "Email Routing Addresses Write"] as const;
const WRITE = ["Email Routing Addresses Write"] as const;

const view = ({ id, email, verified, created, modified }: Destination) => ({
  id,
  tag: id,
  email,
  verified: verified === null ? null : new Date(verified).toISOString(),
  created: new Date(created).toISOString(),
  modified: new Date(modified).toISOString(),
});

/** `invite` sends the message with the link. */
export function addressRoutes(
  destinations: Destinations,
  rules: Rules,
  invite: (to: Destination, token: string) => Promise<void>,
): Route[] {
  const note = (c: RequestContext, info: string, type: "create" | "update" | "delete", one: Destination): void =>
    c.audit({ info, type, resource: { type: "email_routing.address", id: one.id }, newValue: view(one) });

  return [
    {
      op: "emailRouting.addresses.list",
      method: "GET",
      path: BASE,
      permission: READ,
      async handle(c) {
        const verified = c.query.get("verified");
        const wanted = destinations.list().filter((one) => verified === null || String(one.verified !== null) === verified);
        return numberedPage((c.query.get("direction") === "desc" ? wanted.reverse() : wanted).map(view), c.query, 50, 20);
      },
    },
    {
      op: "emailRouting.addresses.create",
      method: "POST",
      path: BASE,
      permission: WRITE,
      async handle(c) {
        const { destination, token } = await destinations.add((await c.json(z.object({ email: z.string().max(320) }))).email);
        if (token !== undefined) await invite(destination, token);
        note(c, "AddAddress", "create", destination);
        return view(destination);
      },
    },
    {
      op: "emailRouting.addresses.get",
      method: "GET",
      path: `${BASE}/:id`,
      permission: READ,
      handle: async (c) => view(destinations.require(c.params.id as string)),
    },
    {
      op: "emailRouting.addresses.edit",
      method: "PATCH",
      path: `${BASE}/:id`,
      permission: WRITE,
      async handle(c) {
        const { status } = await c.json(z.object({ status: z.enum(["verified", "unverified"]) }));
        const one = await destinations.setVerified(c.params.id as string, status === "verified");
        note(c, "AddressChangeStatus", "update", one);
        return view(one);
      },
    },
    {
      op: "emailRouting.addresses.delete",
      method: "DELETE",
      path: `${BASE}/:id`,
      permission: WRITE,
      async handle(c) {
        const one = destinations.require(c.params.id as string);
        // The rules first: none may forward to an address that is added anew, unasked.
        await rules.disableFor(one.email);
        await destinations.remove(one.id);
        note(c, "DeleteAddress", "delete", one);
        return view(one);
      },
    },
    {
      op: "emailRouting.addresses.verify",
      method: "GET",
      path: `${BASE}/:id/verify`,
      permission: "public",
      async handle(c) {
        const { email } = await destinations.verify(c.params.id as string, c.query.get("token") ?? "");
        return new Response(page(email), { headers: { "content-type": "text/html; charset=utf-8", "referrer-policy": "no-referrer" } });
      },
    },
  ];
}

const page = (email: string): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Address verified</title><style>body{font:1rem/1.5 system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem}</style>
<h1>Address verified</h1><p><strong>${email.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)}</strong> can now receive forwarded mail.</p></html>
`;
