/**
 * The host names of Pages: `{project}.pages` is the site, `{label}.{project}.pages` a deployment by its short id or the
 * newest of a branch. A request goes to the deployment's Functions where its routes say so, and to its files otherwise.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { OwnedWorkers } from "../../kernel/capabilities.ts";
import { newRayId, notFoundPage, sendErrorPage } from "../../kernel/gateway/pages.ts";
import type { HostRoute, KernelSlice } from "../../kernel/product.ts";
import type { Gate } from "./access/gate.ts";
import { type AssetAnswer, type AssetRequest, answerAsset, pageOf } from "./asset-server.ts";
import { BEACON_PAGE_MAX_BYTES, withBeacon } from "./beacon.ts";
import type { Domains } from "./domains.ts";
import { openEarlyHints } from "./early-hints.ts";
import { workerName } from "./functions.ts";
import type { Project } from "./model.ts";
import { sendAsset } from "./send-asset.ts";
import type { Site, Sites } from "./sites.ts";
import type { PagesStore } from "./store.ts";

type Params = Readonly<Record<string, string>>;

interface Found {
  readonly project: Project;
  readonly site: Site;
}

export interface PagesFront {
  readonly host: HostRoute;
  /** The project whose preview a host name is, if only members may see its previews. */
  previewOf(hostname: string): Project | undefined;
  /** `env.ASSETS.fetch()` of a deployment's Functions. */
  assets(deploymentId: string, request: IncomingMessage, response: ServerResponse): Promise<void>;
}

interface Parts {
  readonly store: PagesStore;
  readonly sites: Sites;
  readonly workers: OwnedWorkers;
  readonly domains: Domains;
  readonly gate: Gate;
}

export function pagesFront(kernel: KernelSlice, { store, sites, workers, domains, gate }: Parts): PagesFront {
  const { blobs, urls } = kernel;
  const hints = openEarlyHints(blobs, kernel.log);

  async function find({ project: name, label }: Params): Promise<Found | undefined> {
    const project = store.project(name as string);
    if (project === undefined) return undefined;
    const id = label === undefined ? project.productionDeployment : await store.idAt(project, label);
    const site = id == null ? undefined : await sites.of(id);
    return site && { project, site };
  }

  /** A label before a project's name, on the platform's hosts or on the real service's. */
  const isPreview = (host: string): boolean =>
    [`.pages.${urls.domain}`, ".pages.dev"].some((suffix) => host.endsWith(suffix) && host.slice(0, -suffix.length).includes("."));

  function requestOf(request: IncomingMessage): AssetRequest | undefined {
    const scheme = (request.socket as TLSSocket).encrypted === true ? "https" : "http";
    const text = `${scheme}://${request.headers.host}${request.url}`;
    if (!URL.canParse(text)) return undefined;
    const url = new URL(text);
    const header = (name: string): string | undefined => {
      const value = request.headers[name];
      return Array.isArray(value) ? value.join(", ") : value;
    };
    return { method: request.method as string, url, header, preview: isPreview(url.hostname), hintsOf: (page) => hints.linkOf(page, url) };
  }

  async function serveFiles(site: Site, request: IncomingMessage, response: ServerResponse, compress: boolean): Promise<void> {
    const asked = requestOf(request);
    const answer: AssetAnswer = asked ? answerAsset(site, asked) : { status: 400, headers: new Headers(), body: undefined };
    const page = pageOf(answer);
    const { web_analytics_token: token } = site.deployment.build;
    const counted = page !== undefined && token !== null && page.size <= BEACON_PAGE_MAX_BYTES;
    const body = counted ? await withBeacon(Buffer.from(await blobs.bytes(page.blob)).toString("utf8"), token) : answer.body;
    if (compress) {
      answer.headers.set("cf-ray", newRayId());
      sendAhead(answer, request, response);
    }
    await sendAsset(blobs, { ...answer, body }, request, response, { compress });
    if (page !== undefined) await hints.learn(page);
  }

  /** Whether the request is for a preview that only members may see. */
  const isRestricted = ({ project: name }: Params, { headers }: IncomingMessage): Project | undefined => {
    const project = store.project(name as string);
    const hostname = URL.parse(`http://${headers.host}`)?.hostname ?? "";
    return project?.settings.previewAccess === "members" && isPreview(hostname) ? project : undefined;
  };

  async function handle(params: Params, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const restricted = isRestricted(params, request);
    if (restricted !== undefined && !(await gate.admits(restricted, request, response))) return;
    const found = await find(params);
    if (found === undefined) return notFoundPage(request, response);
    const { project, site } = found;
    const { deployment } = site;
    if (!invokes(site, request.url as string)) return serveFiles(site, request, response, true);
    const failOpen = deployment.config.fail_open;
    await workers.serve(workerName(project.name, deployment.id), request, response, {
      ...(failOpen && { overQuota: () => serveFiles(site, request, response, true) }),
    });
  }

  async function upgrade(params: Params, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const restricted = isRestricted(params, request);
    const found = restricted === undefined || (await gate.knows(restricted, request)) ? await find(params) : undefined;
    if (found === undefined || !invokes(found.site, request.url as string)) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    await workers.upgrade(workerName(found.project.name, found.site.deployment.id), request, socket, head);
  }

  return {
    host: {
      name: "pages",
      patterns: ["{project}.pages", "{label}.{project}.pages"],
      publicHosts: ["{project}.pages.dev", "{label}.{project}.pages.dev"],
      wholeHost: true,
      resolve: domains.find,
      handle,
      upgrade,
    },
    previewOf(hostname) {
      const suffix = [`.pages.${urls.domain}`, ".pages.dev"].find((one) => hostname.endsWith(one));
      const [, name, ...rest] = suffix === undefined ? [] : hostname.slice(0, -suffix.length).split(".");
      const project = name === undefined || rest.length > 0 ? undefined : store.project(name);
      return project?.settings.previewAccess === "members" ? project : undefined;
    },
    async assets(deploymentId, request, response) {
      const site = await sites.of(deploymentId);
      if (site === undefined) {
        sendErrorPage(request, response, { status: 404, title: "There is nothing here yet", text: "The deployment is gone." });
        return;
      }
      await serveFiles(site, request, response, false);
    },
  };
}

/** 103, to browsers that open a page: other clients may not know interim answers. */
function sendAhead({ headers }: AssetAnswer, request: IncomingMessage, response: ServerResponse): void {
  const link = headers.get("link");
  if (link === null || request.headers["sec-fetch-mode"] !== "navigate") return;
  const early = link.split(/,\s*(?=<)/).filter((one) => /rel="?[^";]*\b(preload|preconnect|modulepreload)\b/.test(one));
  if (early.length > 0) response.writeEarlyHints({ link: early });
}

/** Whether Functions answer: also by what a path means, so that no other way to write it leads past them. */
function invokes({ deployment, routes }: Site, target: string): boolean {
  if (!deployment.functions) return false;
  if (routes === undefined) return true;
  const path = target.split(/[?#]/)[0] as string;
  if (routes.invokes(path)) return true;
  try {
    return routes.invokes(decodeURIComponent(path));
  } catch {
    return false;
  }
}
