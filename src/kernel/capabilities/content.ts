/** What is kept, changed and told of on the way of an answer: cached copies, images, notifications. Interfaces only. */

import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Transform } from "node:stream";
import type { Service as WorkerdService } from "../workerd/config.ts";
import type { Zone } from "./zones.ts";

/** Copies of responses. */
export interface ContentCache {
  /** A workerd service of that name for `cacheApiOutbound`. Workers with another scope have other caches. */
  service(name: string, scope: string): WorkerdService;
  /** Copies that a product keeps under keys of its own. Nothing is durable, and what was used longest ago goes first. */
  open(scope: string): ContentStore;
}

export interface ContentStore {
  find(key: string): Promise<ContentCopy | undefined>;
  /** Keeps the copy for that many milliseconds. It goes when its URL is purged; one that is too large is not kept. */
  put(key: string, copy: ContentCopy, keep: { readonly url?: string; readonly forMs: number }): Promise<void>;
  /** Milliseconds for which a response may be kept as its status and headers (lower case) say; undefined: it must not be. */
  lifetimeMs(status: number, headers: ReadonlyMap<string, string>): number | undefined;
}

export interface ContentCopy {
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** Pages as a browser shows them. */
export interface PageRenderer {
  /** The page's HTML when its scripts have run. Rejects with the documented errors where it cannot be opened, or there is no browser. */
  render(
    url: string,
    options: {
      readonly userAgent: string;
      /** What each request of the page sends besides. */
      headers(to: URL): Readonly<Record<string, string>>;
      readonly signal: AbortSignal;
    },
  ): Promise<{ readonly status: number; readonly html: string }>;
}

/** What the account is told of, by its policies. */
export interface Notifier {
  /** Says what a product, by its name for people, tells of. */
  addAlerts(
    product: string,
    alerts: readonly { readonly type: string; readonly display_name: string; readonly description: string }[],
  ): void;
  /**
   * Noted durably when it resolves, for every policy of the type whose filters fit; sent soon after. `facets` are what filters
   * may ask for, by their names.
   */
  notify(
    type: string,
    message: { readonly text: string; readonly data: object; readonly facets?: Readonly<Record<string, string>> },
  ): Promise<void>;
}

/** Images that a Worker's fetch() asks to be transformed (`cf.image`). */
export interface ImageTransforms {
  /**
   * A workerd service of that name for a Worker with routes in these zones: answers a request that asks for a
   * transformation, or 204 where it is to be sent on as any other, since no zone has transformations.
   */
  service(name: string, zones: readonly string[]): WorkerdService;
  /** Whether a zone has transformations on, and those of a file at this URL. */
  allows(zone: Zone, url?: URL): boolean;
  /** What becomes of an origin's answer on a zone that has its images made smaller (Polish); undefined: nothing. */
  polish(
    url: URL,
    request: IncomingHttpHeaders,
    answer: { readonly status: number; readonly headers: IncomingHttpHeaders },
  ): ImagePolish | undefined;
}

export interface ImagePolish {
  /** Headers that the answer gets. */
  readonly headers: Readonly<Record<string, string>>;
  /** Takes the body, which is as long as the answer says, and gives another, with headers that replace the answer's. */
  take?(body: Buffer): Promise<{ readonly bytes: Buffer; readonly headers: Readonly<Record<string, string>> }>;
}

/** HTML pages of zones, which a product changes on their way to whoever asked. */
export interface HtmlPages {
  /** From now on `rewriter` is asked about every HTML answer of a Worker's or an origin's for a zone's host name. */
  rewriteBy(rewriter: (page: HtmlPage) => HtmlRewrite | undefined): void;
}

export interface HtmlPage {
  readonly request: Pick<IncomingMessage, "method" | "headers" | "url">;
  /** Lower case, without port. */
  readonly host: string;
  readonly status: number;
  /** The answer's, by lower-case name; of several of one name, joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
}

export interface HtmlRewrite {
  /** Headers that replace the answer's. */
  readonly headers: Readonly<Record<string, string>>;
  /** Through it the body goes, as the page's own bytes: whatever encoding it came in is undone before and done again after. */
  transform(): Transform;
}
