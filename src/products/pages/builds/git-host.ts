/**
 * Git's smart HTTP protocol at `git.<domain>/{owner}/{repository}.git`, for repositories that lie on the platform. The password
 * of Basic authentication is an API token, with any user name: Pages Read to fetch, Pages Write to push. What a push brings
 * is built once git has taken it. https://git-scm.com/docs/http-protocol
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { bodyChunks } from "../../../kernel/api/body.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import type { HostRoute, KernelSlice } from "../../../kernel/product.ts";
import { gitService } from "./git.ts";
import type { Repositories, Repository } from "./repositories.ts";

const SERVICES = { "git-upload-pack": "Pages Read", "git-receive-pack": "Pages Write" } as const;
type Service = keyof typeof SERVICES;

const PATH = /^\/([\w.-]+)\/([\w.-]+?)(?:\.git)?\/(info\/refs|git-upload-pack|git-receive-pack)$/;

export function gitHost(kernel: KernelSlice, repositories: Repositories, onPush: (repository: Repository) => Promise<void>): HostRoute {
  const { config, log } = kernel;

  async function handle(_: unknown, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url as string, "http://git");
    const [, owner, name, action] = PATH.exec(url.pathname) ?? [];
    const asked = action === "info/refs" ? url.searchParams.get("service") : action;
    if (asked !== "git-upload-pack" && asked !== "git-receive-pack") return refuse(response, 404, "There is no Git repository here.");
    const service: Service = asked;
    if (!(await allows(request, response, service))) return;
    const repository = repositories.find(owner as string, name as string);
    if (repository === undefined) return refuse(response, 404, "No project of Pages is connected to a repository of this name.");
    if (repository.remote !== null && service === "git-receive-pack")
      return refuse(response, 403, `This is a mirror. Push to ${repository.remote}`);
    if (action === "info/refs") return advertise(repository, service, request, response);
    if (request.method !== "POST") return refuse(response, 405, "This takes POST requests.");
    await serve(repository, service, request, response);
    // The client waits for the end of the answer: by then its builds are in the queue.
    try {
      if (service === "git-receive-pack") await onPush(repository);
    } finally {
      response.end();
    }
  }

  async function allows(request: IncomingMessage, response: ServerResponse, service: Service): Promise<boolean> {
    const [, given = ""] = /^Basic\s+(\S+)$/i.exec(request.headers.authorization ?? "") ?? [];
    const password = Buffer.from(given, "base64").toString("utf8").split(":").slice(1).join(":");
    try {
      if (password === "") throw new Error("no password");
      const principal = await kernel.auth.bearer({ authorization: `Bearer ${password}` });
      if (principal.can(SERVICES[service])) return true;
      refuse(response, 403, `The token does not have the ${SERVICES[service]} permission.`);
    } catch (error) {
      if (error instanceof PlatformError && error.spec.status >= 500) throw error;
      response.setHeader("www-authenticate", 'Basic realm="Freehold: any user name, and an API token as password"');
      refuse(response, 401, "Give an API token as password.");
    }
    return false;
  }

  const options = (repository: Repository, request: IncomingMessage) => ({
    directory: repositories.directory(repository),
    settings: [`receive.maxInputSize=${config["pages.git_push_max_bytes"]}`, "http.receivepack=true"],
    env: protocol(request),
  });

  async function advertise(repository: Repository, service: Service, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { stdin, stdout, ended } = gitService(
      [service.slice(4), "--stateless-rpc", "--advertise-refs", "."],
      options(repository, request),
    );
    stdin.end();
    head(response, `application/x-${service}-advertisement`);
    const line = `# service=${service}\n`;
    if (protocol(request).GIT_PROTOCOL === undefined || service === "git-receive-pack")
      response.write(`${(line.length + 4).toString(16).padStart(4, "0")}${line}0000`);
    await pipeline(stdout, response);
    await ended;
  }

  async function serve(repository: Repository, service: Service, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { stdin, stdout, ended, kill } = gitService([service.slice(4), "--stateless-rpc", "."], options(repository, request));
    const limits = { maxBytes: config["pages.git_push_max_bytes"], idleTimeoutMs: config["gateway.body_idle_timeout_ms"] };
    const body = bodyChunks(request, limits);
    head(response, `application/x-${service}-result`);
    const zipped = request.headers["content-encoding"] === "gzip";
    const fed = zipped ? pipeline(body, createGunzip(), bounded(limits.maxBytes), stdin) : pipeline(body, stdin);
    try {
      // A client that is refused ends before its body does; what git answers tells it why.
      const [sent] = await Promise.allSettled([fed, pipeline(stdout, response, { end: false })]);
      if (sent.status === "rejected") log.debug("git.request_ended", { repository: repository.id, error: (sent.reason as Error).message });
    } finally {
      if (!stdin.writableFinished) kill();
      await ended;
    }
  }

  return { name: "git", patterns: ["git"], wholeHost: true, handle };
}

/** What a zipped body becomes is bounded, too. */
const bounded = (maxBytes: number) =>
  async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let size = 0;
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > maxBytes) throw new Error("the request is too large");
      yield chunk;
    }
  };

/** The version of the protocol that the client asks for. */
function protocol({ headers }: IncomingMessage): Record<string, string> {
  const asked = headers["git-protocol"];
  return typeof asked === "string" && /^version=[012]$/.test(asked) ? { GIT_PROTOCOL: asked } : {};
}

function head(response: ServerResponse, type: string): void {
  response.writeHead(200, { "content-type": type, "cache-control": "no-cache, max-age=0, must-revalidate" });
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" });
  response.end(`${text}\n`);
}
