/**
 * The image registry: the OCI distribution API (https://github.com/opencontainers/distribution-spec) over the account's
 * images, as `docker push` and `pull` speak it. Repositories are named `<account>/<image>`. Requests bear credentials that
 * `POST /registries/{domain}/credentials` gave: they say whether they may pull or push, and end by themselves.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Credentials, Permission } from "./credentials.ts";
import type { Images, Upload } from "./images.ts";

export interface Registry {
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Ends uploads that are under way. */
  stop(): Promise<void>;
}

export interface RegistryOptions {
  readonly images: Images;
  readonly credentials: Credentials;
  readonly accountId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly layerMaxBytes: number;
}

interface Session {
  readonly repository: string;
  readonly upload: Upload;
  busy: boolean;
  usedAt: number;
}

const MANIFEST_MAX_BYTES = 4 * 1024 * 1024;
const SESSIONS_MAX = 200;
const SESSION_MS = 3_600_000;
const CATALOG_PAGE = 100;
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** An answer other than success, in the protocol's own form. */
class RegistryError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function openRegistry({ images, credentials, accountId, clock, log, layerMaxBytes }: RegistryOptions): Registry {
  const sessions = new Map<string, Session>();

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("docker-distribution-api-version", "registry/2.0");
    try {
      await route(request, response);
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      if (error.status === 401) response.setHeader("www-authenticate", 'Basic realm="Freehold"');
      // What is left of a body that was refused is not read.
      if (!request.complete) response.setHeader("connection", "close");
      json(response, error.status, { errors: [{ code: error.code, message: error.message }] });
    }
  }

  function authorize(request: IncomingMessage, needed: Permission): void {
    const [scheme, encoded = ""] = (request.headers.authorization ?? "").split(" ");
    const given = scheme?.toLowerCase() === "basic" ? Buffer.from(encoded, "base64").toString("utf8") : "";
    const permissions = credentials.verify(given.slice(given.indexOf(":") + 1));
    if (permissions === undefined) throw new RegistryError(401, "UNAUTHORIZED", "authentication required");
    if (!permissions.includes(needed)) throw new RegistryError(403, "DENIED", `these credentials do not permit to ${needed}`);
  }

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET" } = request;
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://registry");
    authorize(request, method === "GET" || method === "HEAD" ? "pull" : "push");
    if (/^\/v2\/?$/.test(pathname)) return json(response, 200, {});
    if (pathname === "/v2/_catalog" && method === "GET") return catalog(searchParams, response);
    if (pathname === "/v2/gc/layers" && method === "PUT") return json(response, 200, { deleted: await images.collect() });
    const [, name = "", kind, rest = ""] = /^\/v2\/(.+)\/(blobs|manifests|tags)\/(.*)$/.exec(pathname) ?? [];
    const repository = repositoryOf(name);
    if (kind === "tags" && rest === "list" && method === "GET") return json(response, 200, { name, tags: await images.tags(repository) });
    if (kind === "manifests") return manifests(repository, rest, request, response);
    if (kind === "blobs" && rest.startsWith("uploads/")) return uploads(name, repository, rest.slice(8), searchParams, request, response);
    if (kind === "blobs") return blob(rest, request, response);
    throw new RegistryError(404, "UNSUPPORTED", "The operation is unsupported.");
  }

  function repositoryOf(name: string): string {
    const [account, ...path] = name.split("/");
    const repository = path.join("/");
    if (name.length > 255 || !NAME.test(repository)) throw new RegistryError(400, "NAME_INVALID", "invalid repository name");
    if (account !== accountId) throw new RegistryError(403, "DENIED", "the repository is another account's");
    return repository;
  }

  async function catalog(query: URLSearchParams, response: ServerResponse): Promise<void> {
    const page = await images.catalog((query.get("last") ?? "").replace(`${accountId}/`, ""), CATALOG_PAGE);
    const last = page.at(-1)?.repository;
    if (page.length === CATALOG_PAGE) response.setHeader("link", `</v2/_catalog?last=${accountId}/${last}>; rel="next"`);
    const named = page.map(({ repository, tags }) => [`${accountId}/${repository}`, tags] as const);
    json(response, 200, { repositories: query.get("tags") === "true" ? Object.fromEntries(named) : named.map(([name]) => name) });
  }

  async function manifests(repository: string, reference: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!TAG.test(reference) && !DIGEST.test(reference)) throw new RegistryError(400, "MANIFEST_INVALID", "invalid tag or digest");
    if (request.method === "PUT") return putManifest(repository, reference, request, response);
    if (request.method === "DELETE") {
      if (!(await images.remove(repository, reference))) throw new RegistryError(404, "MANIFEST_UNKNOWN", "manifest unknown");
      return end(response, 202, {});
    }
    const manifest = await images.manifest(repository, reference);
    if (manifest === undefined) throw new RegistryError(404, "MANIFEST_UNKNOWN", "manifest unknown");
    const bytes = Buffer.from(manifest.content);
    const headers = { "content-type": manifest.mediaType, "docker-content-digest": manifest.digest, "content-length": bytes.length };
    response.writeHead(200, headers);
    response.end(request.method === "HEAD" ? undefined : bytes);
  }

  async function putManifest(repository: string, reference: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MANIFEST_MAX_BYTES) throw new RegistryError(413, "MANIFEST_INVALID", "the manifest is too large");
      chunks.push(chunk);
    }
    const content = Buffer.concat(chunks).toString("utf8");
    const stored = await images
      .put(repository, DIGEST.test(reference) ? undefined : reference, request.headers["content-type"] ?? "", content)
      .catch((error: unknown) => {
        if (error instanceof SyntaxError || error instanceof TypeError)
          throw new RegistryError(400, "MANIFEST_INVALID", "manifest invalid");
        throw error;
      });
    if ("missing" in stored) throw new RegistryError(400, "MANIFEST_BLOB_UNKNOWN", `blob unknown to registry: ${stored.missing}`);
    end(response, 201, { location: `/v2/${accountId}/${repository}/manifests/${stored.digest}`, "docker-content-digest": stored.digest });
  }

  async function blob(digest: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const size = DIGEST.test(digest) ? await images.blobSize(digest) : undefined;
    if (size === undefined) throw new RegistryError(404, "BLOB_UNKNOWN", "blob unknown to registry");
    if (request.method !== "GET" && request.method !== "HEAD") throw new RegistryError(405, "UNSUPPORTED", "The operation is unsupported.");
    const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
    const offset = Math.min(Number(from ?? 0), size);
    response.writeHead(offset > 0 ? 206 : 200, {
      "content-type": "application/octet-stream",
      "content-length": size - offset,
      "docker-content-digest": digest,
      ...(offset > 0 && { "content-range": `bytes ${offset}-${size - 1}/${size}` }),
    });
    const bytes = request.method === "HEAD" ? undefined : await images.readBlob(digest, { offset, length: size - offset });
    if (bytes === undefined) response.end();
    else await pipeline(bytes, response);
  }

  async function uploads(
    name: string,
    repository: string,
    id: string,
    query: URLSearchParams,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { method } = request;
    if (id === "" && method === "POST") {
      const mount = query.get("mount");
      // The account's repositories share their layers.
      if (mount !== null && (await images.blobSize(mount)) !== undefined)
        return end(response, 201, { location: `/v2/${name}/blobs/${mount}`, "docker-content-digest": mount });
      const opened = await open(repository);
      const digest = query.get("digest");
      if (digest !== null) return finish(name, opened, digest, request, response);
      return progress(response, 202, name, opened);
    }
    const session = sessions.get(id);
    if (session === undefined || session.repository !== repository)
      throw new RegistryError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    if (method === "GET") return progress(response, 204, name, id);
    if (session.busy) throw new RegistryError(409, "BLOB_UPLOAD_INVALID", "the upload is being written to");
    if (method === "PATCH") {
      await take(id, session, request);
      return progress(response, 202, name, id);
    }
    if (method === "PUT") return finish(name, id, query.get("digest") ?? "", request, response);
    if (method === "DELETE") {
      sessions.delete(id);
      await session.upload.abort();
      return end(response, 204, {});
    }
    throw new RegistryError(405, "UNSUPPORTED", "The operation is unsupported.");
  }

  async function open(repository: string): Promise<string> {
    const now = clock.now();
    for (const [id, session] of sessions)
      if (!session.busy && now - session.usedAt > SESSION_MS) {
        sessions.delete(id);
        await session.upload.abort();
      }
    if (sessions.size >= SESSIONS_MAX) throw new RegistryError(429, "TOOMANYREQUESTS", "too many uploads at a time");
    const id = randomUUID();
    sessions.set(id, { repository, upload: await images.upload(), busy: false, usedAt: now });
    return id;
  }

  /** Appends the request's body. A body that breaks off ends the upload: how much of it is written is not known to the client. */
  async function take(id: string, session: Session, request: IncomingMessage): Promise<void> {
    session.busy = true;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        if (session.upload.size + chunk.length > layerMaxBytes) throw new RegistryError(413, "SIZE_INVALID", "the layer is too large");
        await session.upload.write(chunk);
      }
      session.usedAt = clock.now();
    } catch (error) {
      sessions.delete(id);
      await session.upload.abort();
      throw error;
    } finally {
      session.busy = false;
    }
  }

  async function finish(name: string, id: string, digest: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const session = sessions.get(id) as Session;
    if (!DIGEST.test(digest)) throw new RegistryError(400, "DIGEST_INVALID", "only SHA-256 digests are supported");
    await take(id, session, request);
    sessions.delete(id);
    if (!(await session.upload.finish(digest)))
      throw new RegistryError(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    end(response, 201, { location: `/v2/${name}/blobs/${digest}`, "docker-content-digest": digest });
  }

  function progress(response: ServerResponse, status: number, name: string, id: string): void {
    const size = sessions.get(id)?.upload.size ?? 0;
    end(response, status, { location: `/v2/${name}/blobs/uploads/${id}`, range: `0-${Math.max(0, size - 1)}`, "docker-upload-uuid": id });
  }

  return {
    async handle(request, response) {
      try {
        await handle(request, response);
      } catch (error) {
        if (response.headersSent || request.destroyed) {
          log.info("registry.broken_off", { method: request.method, error: String(error) });
          response.destroy();
          return;
        }
        log.error("registry.failed", { method: request.method, url: request.url, error });
        json(response, 500, { errors: [{ code: "UNKNOWN", message: "internal error" }] });
      }
    },
    async stop() {
      const all = [...sessions.values()];
      sessions.clear();
      for (const { upload, busy } of all) if (!busy) await upload.abort();
    },
  };
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

function end(response: ServerResponse, status: number, headers: Readonly<Record<string, string>>): void {
  response.writeHead(status, { ...headers, "content-length": 0 });
  response.end();
}
