/**
 * The tools: what an action does. HTTP Request, Custom HTML and Custom Image are ours; a custom component is a Worker of the
 * account, asked in the form of the packages made by `managed-component-to-cloudflare-worker`, and what it wants done in the
 * browser is done as far as its permissions go. No tool's code runs in this process.
 */
import { z } from "zod";
import { type Context, TOOL_COOKIE } from "./context.ts";
import { type CookieScope, cookieLine, FOREVER_S } from "./cookies.ts";
import { htmlSnippet } from "./html-snippet.ts";
import type { Tool } from "./model.ts";
import type { PlannedAction } from "./plan.ts";
import type { EventResult } from "./result.ts";
import type { WorkerCalls } from "./worker-calls.ts";

/** Names of built-in components, as configurations have them. */
export const COMPONENTS: readonly string[] = ["http-request", "http", "html", "custom-html", "custom-image"];

export interface ServerRequest {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface ToolRun {
  readonly context: Context;
  readonly result: EventResult;
  readonly cookies: CookieScope;
  readonly workers: WorkerCalls;
  /** Sends it from here; nobody waits for it. */
  send(request: ServerRequest): void;
  /** A request that a component has sent itself. */
  sent(url: string): void;
}

export async function runTool(tool: Tool, action: PlannedAction, run: ToolRun): Promise<void> {
  if (tool.type === "custom-mc") return runComponent(tool, action, run);
  switch (tool.component) {
    case "http-request":
    case "http":
      return run.send(httpRequest(action.fields));
    case "html":
    case "custom-html": {
      const { htmlCode, ignoreSPA } = action.fields;
      const repeated = run.context.client.__zarazSPA === true && (ignoreSPA === true || ignoreSPA === "true");
      if (typeof htmlCode === "string" && !repeated) run.result.execute.push(htmlSnippet(htmlCode));
      return;
    }
    case "custom-image":
      if (typeof action.fields.imgSrc === "string" && action.fields.imgSrc !== "")
        run.result.fetch.push([action.fields.imgSrc, { method: "GET", mode: "no-cors", credentials: "include" }]);
      return;
    default:
      throw new Error(`there is no component ${JSON.stringify(tool.component)} here`);
  }
}

/** Names of fields that say how, not what. */
const isSetting = (name: string): boolean => name.startsWith("__setting_") || name.startsWith("__zaraz_");

/** README of the component: GET by default, "post" is JSON, "post urlencoded" a form. */
function httpRequest(fields: Readonly<Record<string, unknown>>): ServerRequest {
  const url = new URL(String(fields.__setting_endpoint ?? ""));
  const method = String(fields.__setting_method ?? "get").toLowerCase();
  const values = Object.entries(fields).filter(([name, value]) => !isSetting(name) && value !== undefined && value !== null);
  if (method === "post")
    return {
      url: url.href,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(Object.fromEntries(values)),
    };
  const params = values.map(([name, value]): [string, string] => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]);
  if (method === "post urlencoded")
    return {
      url: url.href,
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(params).toString(),
    };
  for (const [name, value] of params) url.searchParams.append(name, value);
  return { url: url.href, method: "GET", headers: {} };
}

// --- custom components -------------------------------------------------------------------------------------

const answerSchema = z.object({
  fetch: z
    .array(z.union([z.string(), z.tuple([z.string(), z.record(z.string(), z.unknown())]), z.tuple([z.string()])]))
    .max(100)
    .catch([]),
  execute: z.array(z.string()).max(100).catch([]),
  return: z.unknown().optional(),
  pendingCookies: z
    .record(
      z.string(),
      z.object({
        value: z.union([z.string(), z.number(), z.boolean(), z.null()]).optional(),
        opts: z.object({ scope: z.string().optional(), expiry: z.unknown().optional() }).nullish().catch(undefined),
      }),
    )
    .catch({}),
  serverFetch: z
    .array(z.object({ resource: z.string() }))
    .max(100)
    .catch([]),
});

async function runComponent(tool: Extract<Tool, { type: "custom-mc" }>, action: PlannedAction, run: ToolRun): Promise<void> {
  const componentPath = TOOL_COOKIE + action.tool;
  const text = await run.workers.call(tool.worker, "/event", {
    componentPath,
    component: tool.component,
    permissions: tool.permissions,
    routePath: "",
    settings: action.settings,
    eventType: action.type,
    debug: true,
    event: { type: action.type, name: action.fields.name ?? run.context.client.__zarazTrack, payload: action.fields },
    clientData: clientOf(run.context, componentPath, action.settings),
  });
  const answer = answerSchema.parse(JSON.parse(text));
  const may = (permission: string): boolean => tool.permissions.includes(permission);
  if (may("client_network_requests"))
    run.result.fetch.push(
      ...(answer.fetch.map((one): [string, object] => (typeof one === "string" ? [one, {}] : [one[0], one[1] ?? {}])) as []),
    );
  if (may("execute_unsafe_scripts")) run.result.execute.push(...answer.execute);
  if (answer.return !== undefined && answer.return !== null && Object.keys(answer.return).length > 0)
    run.result.return[action.tool] = answer.return;
  if (may("access_client_kv"))
    for (const [name, { value, opts }] of Object.entries(answer.pendingCookies)) {
      // A component writes its own cookies and no others.
      if (!name.startsWith(`${componentPath}__`)) continue;
      const kept = opts?.scope === "infinite" ? FOREVER_S : expiryOf(opts?.expiry);
      run.result.cookies.push(cookieLine(name, value === undefined || value === null ? null : String(value), kept, run.cookies));
    }
  for (const { resource } of answer.serverFetch) run.sent(resource);
}

/** Seconds. */
function expiryOf(expiry: unknown): number | undefined {
  return typeof expiry === "number" && Number.isFinite(expiry) ? expiry / 1000 : undefined;
}

/** What a component knows of the visitor. Of cookies it gets its own alone. */
function clientOf({ system }: Context, componentPath: string, settings: Readonly<Record<string, unknown>>): object {
  const { page, device, cookies, misc } = system;
  const [screenWidth, screenHeight] = sizeOf(device.resolution);
  const [viewportWidth, viewportHeight] = sizeOf(device.viewport);
  return {
    url: page.url.href,
    title: page.title,
    timestamp: misc.timestamp,
    userAgent: device["user-agent"].ua,
    language: device.language,
    referer: page.referrer,
    ip: settings.hideClientIP === true ? "" : device.ip,
    timezoneOffset: 0,
    emitter: "browser",
    baseDomain: page.url.hostname,
    ...{ screenWidth, screenHeight, viewportWidth, viewportHeight },
    cookies: Object.fromEntries(Object.entries(cookies).filter(([name]) => name.startsWith(`${componentPath}__`))),
  };
}

const sizeOf = (text: unknown): [number | undefined, number | undefined] => {
  const [, width, height] = /^(\d+)x(\d+)$/.exec(String(text)) ?? [];
  return width === undefined ? [undefined, undefined] : [Number(width), Number(height)];
};
