/**
 * The content cache before a bucket's custom domain, when a zone of the account has that name: a GET of a file with one of
 * the default extensions leaves a copy, which answers until it is too old or the zone is purged, whatever becomes of the
 * object meanwhile. Binding and S3 are never answered from it, nor are ranges and conditions.
 * https://developers.cloudflare.com/r2/reference/consistency/ https://developers.cloudflare.com/cache/concepts/default-cache-behavior/
 */
import type { IncomingMessage } from "node:http";
import type { ContentCopy, ContentStore, Zones } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Bucket } from "./model.ts";

/** A copy passes through memory. The real service keeps files of up to 512 MB. */
const COPY_MAX_BYTES = 16 * 1024 * 1024;
const EXTENSIONS: ReadonlySet<string> = new Set(
  (
    "7z apk avi avif bin bmp bz2 class css csv dmg doc docx ejs eot eps exe flac gif gz ico iso jar jpeg jpg js mid midi mkv mp3 mp4 ogg otf " +
    "pdf pict pls png ppt pptx ps rar svg svgz swf tar tif tiff ttf webm webp woff woff2 xls xlsx zip zst"
  ).split(" "),
);
const CONDITIONS = ["range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] as const;
const KEPT_AT = "x-freehold-kept-at";

/** One request's place in the cache. */
export interface CachePlace {
  /** The copy, with `age` and `cf-cache-status` among its headers. */
  find(): Promise<ContentCopy | undefined>;
  /** How an answer that comes from the bucket is to be marked, and whether its body is to be kept. */
  decide(headers: Headers, size: number): { readonly status: "MISS" | "BYPASS"; readonly keep?: (bytes: Buffer) => Promise<void> };
}

export interface PublicCache {
  /** Undefined for a request that the cache has no part in. */
  place(bucket: Bucket, domain: string, request: IncomingMessage): CachePlace | undefined;
}

export function publicCache(store: ContentStore, zones: Zones, clock: Clock): PublicCache {
  return {
    place(bucket, domain, request) {
      const { method, headers } = request;
      if ((method !== "GET" && method !== "HEAD") || CONDITIONS.some((name) => headers[name] !== undefined)) return undefined;
      const url = URL.parse(request.url ?? "/", `https://${domain}`);
      const extension = url?.pathname.match(/\.([^./]+)$/)?.[1]?.toLowerCase() ?? "";
      if (url === null || !EXTENSIONS.has(extension) || zones.ofHost(domain) === undefined) return undefined;
      // CORS headers are part of an answer.
      const key = JSON.stringify([bucket.id, url.href, headers.origin ?? null]);
      return {
        async find() {
          const copy = await store.find(key);
          if (copy === undefined) return undefined;
          const { [KEPT_AT]: keptAt, ...kept } = copy.headers;
          const age = String(Math.floor((clock.now() - Number(keptAt)) / 1000));
          return { headers: { ...kept, age, "cf-cache-status": "HIT" }, bytes: copy.bytes };
        },
        decide(answer, size) {
          const forMs = store.lifetimeMs(200, new Map(answer));
          if (forMs === undefined) return { status: "BYPASS" };
          if (method === "HEAD" || size > COPY_MAX_BYTES) return { status: "MISS" };
          const kept = { ...Object.fromEntries(answer), [KEPT_AT]: String(clock.now()) };
          return { status: "MISS", keep: (bytes) => store.put(key, { headers: kept, bytes }, { url: url.href, forMs }) };
        },
      };
    },
  };
}
