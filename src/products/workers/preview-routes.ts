/**
 * REST routes of preview sessions, as `wrangler dev --remote` and the remote bindings of `wrangler dev` send them
 * (`createPreviewSession`, `createWorkerPreview` in wrangler): a session, an upload into it, and the tokens for both.
 */
import { z } from "zod";
import { parseJson, parseWith } from "../../kernel/api/body.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import { checkName } from "./deploy.ts";
import { workersError } from "./errors.ts";
import { REQUEST_MAX_BYTES, rawRequestSchema, sendRaw } from "./preview-request.ts";
import type { Previews } from "./previews.ts";
import { uploadOf, WRITE } from "./route-deps.ts";

/** Path on a Worker's host name at which a session's token is exchanged: wrangler learns the host name from its URL. */
export const EXCHANGE_PATH = "/cdn-cgi/workers/preview/exchange";

const modeSchema = z.looseObject({ workers_dev: z.boolean().optional(), routes: z.array(z.string().max(1000)).max(1000).optional() });

export function previewRoutes(kernel: KernelSlice, previews: Previews, subdomain: () => string): Route[] {
  function session(c: RequestContext, zone?: string) {
    const token = previews.open(c.principal, zone);
    const host = `preview-session.${subdomain()}.workers.dev`;
    return { token, exchange_url: `https://${host}${EXCHANGE_PATH}?token=${token}` };
  }

  return [
    {
      op: "workers.previews.session",
      method: "GET",
      path: "/accounts/:account/workers/subdomain/edge-preview",
      permission: WRITE,
      handle: async (c) => session(c),
    },
    {
      op: "workers.previews.scriptSession",
      method: "GET",
      path: "/accounts/:account/workers/scripts/:name/subdomain/edge-preview",
      permission: WRITE,
      handle: async (c) => session(c),
    },
    {
      op: "workers.previews.zoneSession",
      method: "GET",
      path: "/zones/:zone/workers/edge-preview",
      permission: ["Workers Routes Write"],
      handle: async (c) => session(c, c.params.zone as string),
    },
    {
      op: "workers.previews.upload",
      method: "POST",
      path: "/accounts/:account/workers/scripts/:name/edge-preview",
      permission: WRITE,
      async handle(c) {
        const sessionToken = c.headers.get("cf-preview-upload-config-token");
        if (sessionToken === null || !previews.knows(sessionToken)) throw workersError("previewExpired");
        checkName(c.params.name as string);
        const upload = await uploadOf(kernel, c);
        const mode = parseWith(modeSchema, parseJson(upload.sessionConfig ?? "{}"));
        const { token, tailUrl, host } = await previews.upload(c.principal, sessionToken, c.params.name as string, upload, mode);
        return { preview_token: token, tail_url: tailUrl, preview_url: kernel.urls.host(`${host}.preview`) };
      },
    },
    // Ours: a browser's page cannot send any method and header, nor see every header of an answer.
    {
      op: "workers.previews.request",
      method: "POST",
      path: "/accounts/:account/workers/previews/request",
      permission: WRITE,
      handle: async (c) => sendRaw(kernel.urls, await c.json(rawRequestSchema, REQUEST_MAX_BYTES)),
    },
  ];
}
