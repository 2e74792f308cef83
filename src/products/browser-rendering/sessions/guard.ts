/**
 * What clients of a browser may ask of it. DevTools are made for whoever owns the machine; here they are a stranger's: no
 * files of this machine, no way past the proxy, no pages of the browser's own, no ports. What is not known to be harmless
 * is refused, with an error of the protocol. Not a filter of what pages do: that is the proxy's and the sandbox's.
 */
import { z } from "zod";
import type { CdpRequest } from "../browser.ts";

const requestSchema = z.object({
  id: z.number().int(),
  method: z.string(),
  params: z.record(z.string(), z.unknown()).optional(),
  sessionId: z.string().optional(),
});

const DOMAINS = new Set(
  (
    "Accessibility Animation Audits BackgroundService Browser CacheStorage Console CSS Debugger DOM DOMDebugger DOMSnapshot " +
    "DOMStorage Emulation EventBreakpoints Fetch HeadlessExperimental HeapProfiler IndexedDB Input Inspector IO LayerTree Log " +
    "Media Memory Network Overlay Page Performance PerformanceTimeline Preload Profiler Runtime Schema Security ServiceWorker " +
    "Storage Target Tracing WebAudio WebAuthn"
  ).split(" "),
);

const METHODS = new Map([
  ["DOM.setFileInputFiles", "files of this machine are not for pages"],
  ["DOM.getFileInfo", "files of this machine are not for pages"],
  ["Browser.executeBrowserCommand", "the browser is not a person's"],
  ["Browser.getBrowserCommandLine", "the browser's own affairs are not shown"],
  ["Target.exposeDevToolsProtocol", "pages do not get the protocol"],
  ["Target.openDevTools", "the browser has no windows"],
  ["Target.sendMessageToTarget", "sessions are flat (Target.attachToTarget with flatten)"],
  ["Target.setRemoteLocations", "other browsers are not reached"],
]);

const WEB = /^(https?|about|data|blob|javascript):/i;

/** The request, or the answer that refuses it. Throws for what is no message of the protocol. */
export function guarded(text: string): { request: CdpRequest } | { refusal: string } {
  const request = requestSchema.parse(JSON.parse(text)) as CdpRequest;
  const why = objection(request);
  if (why === undefined) return { request: { ...request, params: harmless(request) } };
  const { id, method, sessionId } = request;
  return { refusal: JSON.stringify({ id, error: { code: -32000, message: `${method} is not allowed: ${why}` }, sessionId }) };
}

function objection({ method, params = {} }: CdpRequest): string | undefined {
  const domain = method.slice(0, method.indexOf("."));
  if (!DOMAINS.has(domain)) return `the domain ${domain} is not served`;
  const known = METHODS.get(method);
  if (known !== undefined) return known;
  switch (method) {
    case "Page.navigate":
    case "Target.createTarget":
    case "Network.loadNetworkResource":
    case "Fetch.continueRequest":
    case "Network.continueInterceptedRequest":
      return params.url === undefined || params.url === "" || WEB.test(String(params.url).trim())
        ? undefined
        : `no such address is opened: ${params.url}`;
    case "Target.createBrowserContext":
      return params.proxyServer === undefined && params.proxyBypassList === undefined
        ? undefined
        : "requests go through the platform's proxy";
    case "Target.attachToTarget":
      return params.flatten === true ? undefined : "sessions are flat (flatten: true)";
    case "Target.setAutoAttach":
      return params.flatten === true || params.autoAttach !== true ? undefined : "sessions are flat (flatten: true)";
    case "Input.dispatchDragEvent":
      return (params.data as { files?: unknown } | undefined)?.files === undefined ? undefined : "files of this machine are not for pages";
    default:
      return undefined;
  }
}

/** Downloads have no place to go: they are refused whatever a client says, and their events still come. */
function harmless({ method, params = {} }: CdpRequest): Record<string, unknown> {
  if (method !== "Browser.setDownloadBehavior" && method !== "Page.setDownloadBehavior") return params;
  const { downloadPath: _path, ...rest } = params;
  return { ...rest, behavior: "deny" };
}
