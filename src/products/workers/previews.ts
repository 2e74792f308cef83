/**
 * Preview sessions: code that runs on the platform without being a version of its Worker, for `wrangler dev --remote`, for
 * remote bindings of `wrangler dev`, and for editors. Sessions live in memory and end with the platform, after an hour, or
 * with the API token that opened them; each runs its newest upload and, for requests that are on their way, the one before.
 * A preview is reached by an unguessable token alone, on the host names that it was made for alone; or, by browsers, which
 * cannot send the token as a header, on an unguessable host name of its own.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Principal } from "../../kernel/api/tokens.ts";
import type { Zones } from "../../kernel/capabilities.ts";
import type { Deployer, Draft } from "./deploy.ts";
import { workersError } from "./errors.ts";
import { cpuMsOf } from "./limits.ts";
import type { Version } from "./model.ts";
import { EVENTS, type PlanContext, planProcess } from "./process.ts";
import { matchesHost, matchesPath, parsePattern, type RoutePattern } from "./route-pattern.ts";
import type { VersionLease } from "./serving.ts";
import type { Tails } from "./tails.ts";
import type { Upload } from "./upload.ts";

/** What a token of the API must allow to open a session, for as long as the session lives. */
const PERMISSION = "Workers Scripts Write";
/** wrangler opens a new session after 50 minutes. */
const TTL_MS = 3_600_000;
/** Label of a host name: as hard to guess as a token, in letters that host names keep. */
const newHost = (): string => randomBytes(24).toString("hex");
/** Uploads of one session that answer: requests on their way may still bear the token of the one before. */
const UPLOADS_KEPT = 2;

/** How `wrangler-session-config` says where a preview answers: on the Worker's own host name, or on URLs of a zone. */
export interface PreviewMode {
  readonly workers_dev?: boolean | undefined;
  readonly routes?: readonly string[] | undefined;
}

interface Session {
  /** Hash of the token that uploads bear. */
  readonly key: string;
  readonly tokenId: string;
  /** The zone whose host names the session's previews may have. */
  readonly zoneId: string | undefined;
  readonly expiresAt: number;
  readonly previews: Preview[];
  readonly expiry: NodeJS.Timeout;
}

interface Preview {
  readonly name: string;
  readonly session: Session;
  /** Hash of the token that requests bear. */
  readonly key: string;
  /** Label of the host name at which browsers reach it. */
  readonly host: string;
  /** Of its own: tails and caches of the deployed Worker are others. */
  readonly version: Version;
  readonly draft: Draft;
  /** Undefined: the Worker's own host name. */
  readonly patterns: readonly RoutePattern[] | undefined;
}

/** What a request that bears a preview token is about. */
export interface PreviewTarget {
  /** Lower case. */
  readonly host: string;
  readonly path: string;
  /** The Worker's name, when the host name is that of a Worker of this account. */
  readonly worker: string | undefined;
}

export interface RunningPreview {
  /** The Worker's name. */
  readonly name: string;
  lease(): Promise<VersionLease>;
}

export interface Previews {
  /** A new session; the token that its uploads bear. */
  open(principal: Principal, zoneId?: string): string;
  /** Whether there is such a session. */
  knows(sessionToken: string): boolean;
  /** Runs an upload; throws its errors, or `workers.previewExpired` when the session is gone or another token's. */
  upload(
    principal: Principal,
    sessionToken: string,
    name: string,
    upload: Upload,
    mode: PreviewMode,
  ): Promise<{ token: string; tailUrl: string; host: string }>;
  /** The preview that a request means, or undefined when its token is none for this URL (any more). */
  find(token: string, target: PreviewTarget): Promise<RunningPreview | undefined>;
  /** The preview that has this label as its host name. */
  atHost(label: string): Promise<RunningPreview | undefined>;
  /** Whether previews answer on this host name. */
  serves(host: string): boolean;
  /** Manifests of the static assets that previews use. */
  manifests(): string[];
  close(): Promise<void>;
}

/** A preview has no callers, routes, tail Workers or records of its own. */
const ALONE = {
  split: undefined,
  entries: [],
  tailed: true,
  zones: [],
  telemetry: undefined,
  consumers: [],
  streamConsumers: [],
  outbound: undefined,
  takesOutbound: false,
} as const;

const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");
const processId = (version: Version): string => `preview-${version.id}`;

export function openPreviews(context: PlanContext, deployer: Deployer, tails: Tails, zones: Zones): Previews {
  const { kernel } = context;
  const { clock, config, runtime, log } = kernel;
  const sessions = new Map<string, Session>();
  const previews = new Map<string, Preview>();
  const byHost = new Map<string, Preview>();

  async function retire(preview: Preview): Promise<void> {
    previews.delete(preview.key);
    byHost.delete(preview.host);
    tails.end(preview.version.scriptId);
    await runtime.remove(processId(preview.version));
    await preview.draft.discard();
  }

  async function end(session: Session): Promise<void> {
    clearTimeout(session.expiry);
    sessions.delete(session.key);
    await Promise.all(session.previews.splice(0).map(retire));
  }

  const ended = (work: Promise<void>): void => void work.catch((error: unknown) => log.error("preview.end_failed", { error }));

  /** The session of a token, unless it is over. */
  function sessionOf(token: string): Session | undefined {
    const session = sessions.get(hashOf(token));
    return session !== undefined && session.expiresAt > clock.now() ? session : undefined;
  }

  /** Whether the API token behind a session still is what it was when the session began. */
  async function authorized(session: Session): Promise<boolean> {
    const key = await kernel.auth.accessKey(session.tokenId);
    if (key?.principal.can(PERMISSION)) return true;
    ended(end(session));
    return false;
  }

  function define(preview: Preview): void {
    const { name, version } = preview;
    const script = { id: version.scriptId, name };
    runtime.define({
      id: processId(version),
      label: `${name} (preview)`,
      plan: (socket) => planProcess(context, { script, version, ...ALONE }, socket),
      ...(version.syntax !== "none" && { limits: { cpuMs: cpuMsOf(version, config), aliveSocket: EVENTS } }),
      output: (stream, line) => log.info("worker.output", { worker: name, preview: true, stream, line }),
    });
  }

  function patternsOf(session: Session, { routes, workers_dev }: PreviewMode): readonly RoutePattern[] | undefined {
    if (session.zoneId === undefined || workers_dev) return undefined;
    const all = (routes ?? []).includes("*/*") ? [] : (routes ?? []);
    return all.map(parsePattern);
  }

  function answers({ name, session, patterns }: Preview, { host, path, worker }: PreviewTarget): boolean {
    if (patterns === undefined) return worker === name;
    if (session.zoneId === undefined || zones.ofHost(host)?.id !== session.zoneId) return false;
    return patterns.length === 0 || patterns.some((pattern) => matchesHost(pattern, host) && matchesPath(pattern, path));
  }

  async function running(preview: Preview | undefined): Promise<RunningPreview | undefined> {
    if (preview === undefined || preview.session.expiresAt <= clock.now()) return undefined;
    if (!(await authorized(preview.session))) return undefined;
    const { name, version } = preview;
    return { name, lease: async () => ({ ...(await runtime.lease(processId(version))), version, exclusive: false }) };
  }

  return {
    open(principal, zoneId) {
      if (sessions.size >= config["workers.previews_max"]) {
        // Clients do not close their sessions; one that is still in use is opened anew by its client.
        const oldest = [...sessions.values()].find(({ tokenId }) => tokenId === principal.tokenId);
        if (oldest === undefined) throw workersError("tooManyPreviews");
        ended(end(oldest));
      }
      const token = randomBytes(32).toString("base64url");
      const key = hashOf(token);
      const expiry = setTimeout(() => ended(end(session)), TTL_MS);
      expiry.unref();
      const session: Session = { key, tokenId: principal.tokenId, zoneId, expiresAt: clock.now() + TTL_MS, previews: [], expiry };
      sessions.set(key, session);
      return token;
    },
    knows: (token) => sessionOf(token) !== undefined,
    async upload(principal, sessionToken, name, upload, mode) {
      const session = sessionOf(sessionToken);
      if (session === undefined || session.tokenId !== principal.tokenId) throw workersError("previewExpired");
      const patterns = patternsOf(session, mode);
      const draft = await deployer.draft(name, upload);
      const token = randomBytes(32).toString("base64url");
      const version: Version = {
        ...draft.content,
        id: draft.versionId,
        scriptId: randomBytes(16).toString("hex"),
        number: 0,
        createdOn: clock.now(),
      };
      const preview: Preview = { name, session, key: hashOf(token), host: newHost(), version, draft, patterns };
      // The session may have ended while the code was looked at.
      if (!sessions.has(session.key)) {
        await draft.discard();
        throw workersError("previewExpired");
      }
      define(preview);
      previews.set(preview.key, preview);
      byHost.set(preview.host, preview);
      session.previews.push(preview);
      while (session.previews.length > UPLOADS_KEPT) ended(retire(session.previews.shift() as Preview));
      const tail = await tails.create({ id: version.scriptId }, [], "127.0.0.1");
      return { token, tailUrl: tail.url, host: preview.host };
    },
    async find(token, target) {
      const preview = previews.get(hashOf(token));
      return preview !== undefined && answers(preview, target) ? running(preview) : undefined;
    },
    atHost: (label) => running(byHost.get(label)),
    serves(host) {
      const zone = sessions.size === 0 ? undefined : zones.ofHost(host);
      return zone !== undefined && [...sessions.values()].some(({ zoneId }) => zoneId === zone.id);
    },
    manifests: () => [...previews.values()].flatMap(({ version }) => version.assets?.manifest ?? []),
    async close() {
      await Promise.all([...sessions.values()].map(end));
    },
  };
}
