/**
 * REST routes of uploads: `/pages/assets/…` have no account in their paths, since the upload token says for which project they
 * are. It stands for the API token that asked for it, for an hour.
 */
import { z } from "zod";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { type Assets, FILE_MAX_BYTES } from "./assets.ts";
import { pagesError } from "./errors.ts";
import { PROJECT, WRITE } from "./rest.ts";
import type { PagesStore } from "./store.ts";

const hash = z.string().regex(/^[0-9a-f]{32}$/);
const hashes = z.object({ hashes: z.array(hash).max(100_000) });
/** wrangler puts at most 2,000 files into a request. */
const files = z
  .array(
    z.object({
      key: hash,
      value: z.string(),
      metadata: z.object({ contentType: z.string().max(255).optional() }).default({}),
      base64: z.boolean().default(false),
    }),
  )
  .max(5_000);

/** 40 MiB of files in base64, which is what wrangler puts into a request, with room for their names. */
const BODY_MAX_BYTES = 60 * 1024 * 1024;

export function uploadRoutes(store: PagesStore, assets: Assets): Route[] {
  /** The project of the upload token, which must still be there. */
  function projectOf(c: RequestContext): string {
    const token = /^Bearer (.+)$/i.exec(c.headers.get("authorization") ?? "")?.[1];
    if (token === undefined) throw pagesError("unauthorized");
    const id = assets.projectOf(token);
    if (store.projectById(id) === undefined) throw pagesError("unauthorized");
    return id;
  }

  return [
    {
      op: "pages.projects.uploadToken",
      method: "GET",
      path: `${PROJECT}/upload-token`,
      permission: WRITE,
      handle: async (c) => ({ jwt: assets.token(store.require(c.params.project as string).id) }),
    },
    {
      op: "pages.assets.missing",
      method: "POST",
      path: "/pages/assets/check-missing",
      permission: "public",
      async handle(c) {
        const project = projectOf(c);
        return assets.missing(project, (await c.json(hashes)).hashes);
      },
    },
    {
      op: "pages.assets.upload",
      method: "POST",
      path: "/pages/assets/upload",
      permission: "public",
      async handle(c) {
        const project = projectOf(c);
        const uploaded = (await c.json(files, BODY_MAX_BYTES)).map(({ key, value, metadata, base64 }) => {
          if (value.length > (FILE_MAX_BYTES * 4) / 3 + 4) throw pagesError("assetTooLarge");
          return { key, bytes: Buffer.from(value, base64 ? "base64" : "utf8"), contentType: typeOf(metadata.contentType) };
        });
        await assets.upload(project, uploaded);
        return { successful_key_count: uploaded.length, unsuccessful_keys: [] };
      },
    },
    {
      op: "pages.assets.upsert",
      method: "POST",
      path: "/pages/assets/upsert-hashes",
      permission: "public",
      async handle(c) {
        const project = projectOf(c);
        await assets.touch(project, (await c.json(hashes)).hashes);
        return null;
      },
    },
  ];
}

/** A type that can be a header; texts are UTF-8. */
function typeOf(given = ""): string {
  const type = /^[\w.+-]+\/[\w.+-]+(\s*;\s*[\w-]+="?[\w.+-]+"?)*$/.test(given) ? given : "application/octet-stream";
  return type.startsWith("text/") && !/charset=/i.test(type) ? `${type}; charset=utf-8` : type;
}
