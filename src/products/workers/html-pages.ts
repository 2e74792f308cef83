/**
 * HTML answers on their way out, for those who change them (`capabilities.htmlPages`). The answer's encoding is undone
 * before and done again after, each piece flushed as it comes, so that a page that streams still does.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import zlib from "node:zlib";
import type { HtmlPage, HtmlPages, HtmlRewrite, Zones } from "../../kernel/capabilities.ts";

export interface HtmlRewriting {
  readonly pages: HtmlPages;
  /** Of an answer's headers (flat: name, value, …) and its body, what they become; undefined: nothing changes. */
  rewrite(request: IncomingMessage, host: string, status: number, headers: readonly string[]): Rewritten | undefined;
}

interface Rewritten {
  readonly headers: string[];
  readonly through: readonly [Duplex, ...Duplex[]];
}

interface Coding {
  undo(): Duplex;
  redo(): Duplex;
}

const CODINGS: Readonly<Record<string, Coding>> = {
  gzip: { undo: () => zlib.createGunzip(), redo: () => zlib.createGzip({ flush: zlib.constants.Z_SYNC_FLUSH }) },
  deflate: { undo: () => zlib.createInflate(), redo: () => zlib.createDeflate({ flush: zlib.constants.Z_SYNC_FLUSH }) },
  br: {
    undo: () => zlib.createBrotliDecompress(),
    redo: () =>
      zlib.createBrotliCompress({
        flush: zlib.constants.BROTLI_OPERATION_FLUSH,
        params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 },
      }),
  },
};

/** Of the bytes as they were: an answer with another body must not have them. */
const OF_THE_BYTES = new Set(["content-length", "content-md5", "accept-ranges", "digest", "content-digest"]);

export function htmlRewriting(zones: Zones): HtmlRewriting {
  const rewriters: ((page: HtmlPage) => HtmlRewrite | undefined)[] = [];
  return {
    pages: { rewriteBy: (rewriter) => void rewriters.push(rewriter) },
    rewrite(request, host, status, flat) {
      if (rewriters.length === 0 || zones.ofHost(host) === undefined) return undefined;
      // Answers without a body, and parts of one.
      if (request.method === "HEAD" || status < 200 || status === 204 || status === 206 || status === 304) return undefined;
      const headers = byName(flat);
      if (!/^text\/html\b/i.test(headers.get("content-type") ?? "")) return undefined;
      const encoding = (headers.get("content-encoding") ?? "").toLowerCase();
      const coding = Object.hasOwn(CODINGS, encoding) ? CODINGS[encoding] : undefined;
      if (encoding !== "" && encoding !== "identity" && coding === undefined) return undefined;
      const rewrites = rewriters.flatMap((rewriter) => rewriter({ request, host, status, headers }) ?? []);
      if (rewrites.length === 0) return undefined;
      const steps: Duplex[] = rewrites.map((rewrite) => rewrite.transform());
      if (coding !== undefined) {
        steps.unshift(coding.undo());
        steps.push(coding.redo());
      }
      return {
        headers: changed(flat, Object.assign({}, ...rewrites.map((rewrite) => rewrite.headers))),
        through: steps as [Duplex, ...Duplex[]],
      };
    },
  };
}

function byName(flat: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    const before = headers.get(name);
    headers.set(name, before === undefined ? (flat[i + 1] as string) : `${before}, ${flat[i + 1]}`);
  }
  return headers;
}

function changed(flat: readonly string[], replaced: Readonly<Record<string, string>>): string[] {
  const headers: string[] = [];
  for (let i = 0; i < flat.length; i += 2) {
    const [name, value] = [flat[i] as string, flat[i + 1] as string];
    const lower = name.toLowerCase();
    if (OF_THE_BYTES.has(lower) || Object.hasOwn(replaced, lower)) continue;
    // Another body than the one that was tagged, but the same page.
    headers.push(name, lower === "etag" && !value.startsWith("W/") ? `W/${value}` : value);
  }
  return [...headers, ...Object.entries(replaced).flat()];
}
