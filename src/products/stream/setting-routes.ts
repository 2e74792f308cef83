/** REST of what belongs to the account: signing keys, watermark profiles, the webhook. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Route } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";
import { WATERMARK_MAX_BYTES } from "./limits.ts";
import type { Notices } from "./notices.ts";
import { fetchable, type Remote, RemoteError } from "./remote.ts";
import { BODILESS_MAX_BYTES, changed, param, READ, ROOT, type RouteParts, WRITE } from "./routes.ts";
import { newUid } from "./videos.ts";
import { POSITIONS, type Watermarks } from "./watermarks.ts";

const share = z.coerce.number().min(0).max(1);
const profile = z.object({
  name: z.string().max(256).optional(),
  opacity: share.optional(),
  padding: share.optional(),
  scale: share.optional(),
  position: z.enum(POSITIONS).optional(),
});
const fromUrl = profile.extend({ url: z.string().max(4096) });
const webhook = z.object({ notificationUrl: z.string().max(4096).optional(), notification_url: z.string().max(4096).optional() });

/** Without what was not said. */
const given = ({ name, opacity, padding, scale, position }: z.infer<typeof profile>) => ({
  ...(name !== undefined && { name }),
  ...(opacity !== undefined && { opacity }),
  ...(padding !== undefined && { padding }),
  ...(scale !== undefined && { scale }),
  ...(position !== undefined && { position }),
});

export function settingRoutes(
  parts: RouteParts & { readonly watermarks: Watermarks; readonly notices: Notices; readonly remote: Remote },
): Route[] {
  const { kernel, keys, watermarks, notices, intake, remote } = parts;

  async function downloaded(text: string): Promise<{ bytes: Buffer; url: URL }> {
    const url = fetchable(text);
    if (url === undefined) throw streamError("badRequest", "Bad Request: url must be a URL of http or https");
    const path = join(kernel.directory, "incoming", newUid());
    try {
      await remote.download(url, path, { maxBytes: WATERMARK_MAX_BYTES, signal: AbortSignal.timeout(30_000) });
      return { bytes: await readFile(path), url };
    } catch (cause) {
      throw cause instanceof RemoteError ? streamError("badRequest", `Bad Request: url: ${cause.message}`, { cause }) : cause;
    } finally {
      await rm(path, { force: true });
    }
  }

  return [
    {
      op: "stream.keys.create",
      method: "POST",
      path: `${ROOT}/keys`,
      permission: WRITE,
      async handle(c) {
        await c.bytes(BODILESS_MAX_BYTES);
        const key = await keys.create();
        changed(c, "CreateSigningKey", "create", "signing_key", key.id);
        return key;
      },
    },
    {
      op: "stream.keys.list",
      method: "GET",
      path: `${ROOT}/keys`,
      permission: READ,
      handle: async () => keys.all().map((key) => ({ ...key, key_id: key.id })),
    },
    {
      op: "stream.keys.delete",
      method: "DELETE",
      path: `${ROOT}/keys/:key`,
      permission: WRITE,
      async handle(c) {
        await keys.remove(param(c, "key"));
        changed(c, "DeleteSigningKey", "delete", "signing_key", param(c, "key"));
        return "Revoked";
      },
    },
    {
      op: "stream.watermarks.create",
      method: "POST",
      path: `${ROOT}/watermarks`,
      permission: WRITE,
      async handle(c) {
        const type = c.headers.get("content-type");
        if (!/^multipart\/form-data/i.test(type ?? "")) {
          const { url: text, ...options } = await c.json(fromUrl);
          const { bytes, url } = await downloaded(text);
          return watermarks.create(bytes, { ...given(options), downloadedFrom: url.href });
        }
        return intake.withFile(c.request.body, type, WATERMARK_MAX_BYTES, async (path, { fields, file }) => {
          const options = profile.safeParse(fields);
          if (!options.success)
            throw streamError(
              "badRequest",
              `Bad Request: ${options.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ")}`,
            );
          if (file !== undefined) return watermarks.create(await readFile(path), given(options.data));
          if (fields.url === undefined) throw streamError("badRequest", "Bad Request: the form has no file");
          const { bytes, url } = await downloaded(fields.url);
          return watermarks.create(bytes, { ...given(options.data), downloadedFrom: url.href });
        });
      },
    },
    {
      op: "stream.watermarks.list",
      method: "GET",
      path: `${ROOT}/watermarks`,
      permission: READ,
      handle: () => watermarks.all(),
    },
    {
      op: "stream.watermarks.get",
      method: "GET",
      path: `${ROOT}/watermarks/:watermark`,
      permission: READ,
      handle: (c) => watermarks.get(param(c, "watermark")),
    },
    {
      op: "stream.watermarks.delete",
      method: "DELETE",
      path: `${ROOT}/watermarks/:watermark`,
      permission: WRITE,
      async handle(c) {
        await watermarks.remove(param(c, "watermark"));
        changed(c, "DeleteWatermark", "delete", "watermark", param(c, "watermark"));
        return "";
      },
    },
    {
      op: "stream.webhook.update",
      method: "PUT",
      path: `${ROOT}/webhook`,
      permission: WRITE,
      async handle(c) {
        const body = await c.json(webhook);
        const hook = await notices.set(body.notificationUrl ?? body.notification_url ?? "");
        changed(c, "UpdateWebhook", "update", "webhook", "stream");
        return hook;
      },
    },
    {
      op: "stream.webhook.get",
      method: "GET",
      path: `${ROOT}/webhook`,
      permission: READ,
      handle: () => notices.get(),
    },
    {
      op: "stream.webhook.delete",
      method: "DELETE",
      path: `${ROOT}/webhook`,
      permission: WRITE,
      async handle(c) {
        await notices.remove();
        changed(c, "DeleteWebhook", "delete", "webhook", "stream");
        return "";
      },
    },
  ];
}
