/** REST of videos, as the `cloudflare` SDKs, tus clients and the documentation's curl lines send it. */

import { z } from "zod";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import { rulesSchema } from "./access.ts";
import { streamError } from "./errors.ts";
import type { Ffmpeg } from "./ffmpeg.ts";
import type { Intake } from "./intake.ts";
import type { SigningKeys } from "./keys.ts";
import type { Library } from "./library.ts";
import { LIST_MAX, TOKEN_DEFAULT_S, TOKEN_MAX_S } from "./limits.ts";
import { clipSchema, copySchema, deletionOf, detailsOf, directSchema, editSchema, uploadEndOf } from "./options.ts";
import type { Storage } from "./storage.ts";
import { TUS, type TusDoor } from "./upload-door.ts";
import { STATES, type VideoQuery, type VideoState, type Videos } from "./videos.ts";
import type { Views } from "./views.ts";

export const ROOT = "/accounts/:account/stream";
export const READ = ["Stream Read", "Stream Write"] as const;
export const WRITE = ["Stream Write"] as const;

const tokenSchema = z.object({
  id: z.string().optional(),
  pem: z.string().optional(),
  exp: z.number().optional(),
  nbf: z.number().optional(),
  downloadable: z.boolean().optional(),
  accessRules: rulesSchema.optional(),
  flags: z.object({ original: z.boolean().optional() }).optional(),
});

export interface RouteParts {
  readonly kernel: KernelSlice;
  readonly videos: Videos;
  readonly library: Library;
  readonly intake: Intake;
  readonly tus: TusDoor;
  readonly keys: SigningKeys;
  readonly storage: Storage;
  readonly views: Views;
  readonly ffmpeg: Ffmpeg;
  /** Whether an id is a live input's, for which there are tokens too. */
  isLiveInput(id: string): Promise<boolean>;
}

/** Of a body that says nothing. */
export const BODILESS_MAX_BYTES = 64 * 1024;
export const param = (c: RequestContext, name: string): string => c.params[name] as string;
export const changed = (c: RequestContext, info: string, type: "create" | "update" | "delete", resource: string, id: string): void =>
  c.audit({ info, type, resource: { type: resource, id } });

/**
 * Looks before the body is read whether it is wanted. When it is not, it is read all the same, within bounds: a client whose
 * body is left lying loses its connection.
 */
export async function beforeBody<T>(c: RequestContext, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    // What the discarding makes of the body changes nothing.
    await c.bytes(1).catch(() => undefined);
    throw error;
  }
}

export function videoRoutes(parts: RouteParts): Route[] {
  const { kernel, videos, library, intake, tus, keys, storage, views, ffmpeg } = parts;
  return [
    {
      op: "stream.videos.create",
      method: "POST",
      path: ROOT,
      permission: WRITE,
      async handle(c) {
        if (c.headers.has("tus-resumable")) return beginTus(c);
        const creator = c.headers.get("upload-creator") ?? undefined;
        await beforeBody(c, async () => {
          ffmpeg.demand();
          await videos.demandRoom();
        });
        const video = await intake.form(c.request.body, c.headers.get("content-type"), ({ file }) =>
          library.uploaded(file?.name ?? "", creator),
        );
        changed(c, "UploadVideo", "create", "video", video.uid);
        return views.video(video);
      },
    },
    {
      op: "stream.videos.list",
      method: "GET",
      path: ROOT,
      permission: READ,
      async handle(c) {
        const query = queryOf(c.query);
        const found = await videos.list(query);
        const result = found.map(views.video);
        if (c.query.get("include_counts") !== "true") return result;
        // Documented beside the result, not in it.
        return Response.json({
          result,
          success: true,
          errors: [],
          messages: [],
          total: String(await videos.count(query)),
          range: String(found.length),
        });
      },
    },
    {
      op: "stream.copy",
      method: "POST",
      path: `${ROOT}/copy`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(copySchema);
        const video = await library.copy({ ...given, creator: given.creator ?? c.headers.get("upload-creator") ?? undefined });
        changed(c, "CopyVideo", "create", "video", video.uid);
        return views.video(video);
      },
    },
    {
      op: "stream.directUpload",
      method: "POST",
      path: `${ROOT}/direct_upload`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(directSchema);
        const video = await library.direct({ ...given, creator: given.creator ?? c.headers.get("upload-creator") ?? undefined });
        changed(c, "CreateDirectUpload", "create", "video", video.uid);
        const scheduledDeletion = video.deletion === null ? null : new Date(video.deletion).toISOString();
        return { uploadURL: views.uploadUrl(video.uid), uid: video.uid, watermark: video.details.watermark, scheduledDeletion };
      },
    },
    {
      op: "stream.clip",
      method: "POST",
      path: `${ROOT}/clip`,
      permission: WRITE,
      async handle(c) {
        const video = await library.clip(await c.json(clipSchema));
        changed(c, "ClipVideo", "create", "video", video.uid);
        return views.video(video);
      },
    },
    {
      op: "stream.storageUsage",
      method: "GET",
      path: `${ROOT}/storage-usage`,
      permission: READ,
      handle: async (c) => ({ creator: c.query.get("creator"), ...(await storage.usage(c.query.get("creator") ?? undefined)) }),
    },
    {
      op: "stream.videos.get",
      method: "GET",
      path: `${ROOT}/:video`,
      permission: READ,
      // Hono takes HEAD for GET; it is how a tus client asks where its upload stands.
      handle: async (c) => (c.request.method === "HEAD" ? tus.head(param(c, "video")) : views.video(await videos.get(param(c, "video")))),
    },
    {
      op: "stream.videos.edit",
      method: "POST",
      path: `${ROOT}/:video`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(editSchema);
        const { uid, created, details, state } = await videos.get(param(c, "video"));
        const deletion = deletionOf(given.scheduledDeletion, created);
        const expires = given.uploadExpiry === undefined ? undefined : uploadEndOf(given.uploadExpiry, kernel.clock.now());
        await videos.change(uid, {
          ...(given.creator !== undefined && { creator: given.creator === "" ? null : given.creator }),
          ...(deletion !== undefined && { deletion }),
          // What has come needs no URL any more.
          ...(expires !== undefined && state === "pendingupload" && { expires }),
          details: {
            ...detailsOf(given),
            ...(given.maxDurationSeconds !== undefined && { maxDurationSeconds: given.maxDurationSeconds }),
            ...(given.publicDetails !== undefined && {
              publicDetails: given.publicDetails === null ? null : { ...details.publicDetails, ...given.publicDetails },
            }),
          },
        });
        changed(c, "UpdateVideo", "update", "video", uid);
        return views.video(await videos.get(uid));
      },
    },
    {
      op: "stream.videos.delete",
      method: "DELETE",
      path: `${ROOT}/:video`,
      permission: WRITE,
      async handle(c) {
        await library.remove(param(c, "video"));
        changed(c, "DeleteVideo", "delete", "video", param(c, "video"));
        return "";
      },
    },
    {
      op: "stream.tus.patch",
      method: "PATCH",
      path: `${ROOT}/:video`,
      permission: WRITE,
      handle: (c) => tus.patch(param(c, "video"), c.headers, c.request.body),
    },
    {
      op: "stream.token",
      method: "POST",
      path: `${ROOT}/:video/token`,
      permission: WRITE,
      async handle(c) {
        const empty = c.request.body === null || c.headers.get("content-length") === "0";
        const given = empty ? {} : await c.json(tokenSchema);
        const id = param(c, "video");
        if ((await videos.find(id)) === undefined && !(await parts.isLiveInput(id))) throw streamError("notFound");
        const now = Math.floor(kernel.clock.now() / 1000);
        const exp = given.exp ?? now + TOKEN_DEFAULT_S;
        if (exp > now + TOKEN_MAX_S) throw streamError("badRequest", "Bad Request: exp must be at most 24 hours ahead");
        const { nbf, downloadable, accessRules } = given;
        const token = await keys.issue({
          sub: id,
          exp,
          ...(nbf !== undefined && { nbf }),
          ...(downloadable && { downloadable }),
          ...(accessRules && { accessRules }),
        });
        return { token };
      },
    },
    {
      op: "stream.embed",
      method: "GET",
      path: `${ROOT}/:video/embed`,
      permission: READ,
      async handle(c) {
        const { uid } = await videos.get(param(c, "video"));
        return new Response(embedCode(views.iframe(uid)), { headers: { "content-type": "text/html; charset=utf-8" } });
      },
    },
  ];

  async function beginTus(c: RequestContext): Promise<Response> {
    const direct = c.query.get("direct_user") === "true";
    const video = await beforeBody(c, () => library.tus(c.headers, direct));
    changed(c, direct ? "CreateDirectUpload" : "CreateUpload", "create", "video", video.uid);
    const url = new URL(c.request.url);
    const location = direct ? views.uploadUrl(video.uid) : `${url.origin}${url.pathname.replace(/\/$/, "")}/${video.uid}`;
    return new Response(null, { status: 201, headers: { ...TUS, location, "stream-media-id": video.uid } });
  }
}

const embedCode = (url: string): string =>
  `<iframe src="${url}" style="border: none" height="720" width="1280" allow="accelerometer; gyroscope; autoplay; encrypted-media; picture-in-picture;" allowfullscreen="true"></iframe>`;

function queryOf(query: URLSearchParams): VideoQuery {
  const text = (...names: string[]): string | undefined =>
    names.map((name) => query.get(name)).find((value) => value !== null) ?? undefined;
  const time = (...names: string[]): number | undefined => {
    const value = text(...names);
    if (value === undefined || value === "") return undefined;
    const at = Date.parse(value);
    if (Number.isNaN(at)) throw streamError("badRequest", `Bad Request: ${names[0]} must be a time`);
    return at;
  };
  const states = text("status")
    ?.split(",")
    .map((state) => state.trim());
  if (states?.some((state) => !(STATES as readonly string[]).includes(state)))
    throw streamError("badRequest", "Bad Request: status must be a list of states");
  const limit = Number(text("limit") ?? LIST_MAX);
  return {
    search: text("search"),
    name: text("video_name", "name"),
    creator: text("creator"),
    liveInput: text("live_input_id"),
    states: states as VideoState[] | undefined,
    after: time("after", "start"),
    before: time("before", "end"),
    ascending: query.get("asc") === "true",
    limit: Number.isInteger(limit) && limit > 0 ? limit : LIST_MAX,
  };
}
