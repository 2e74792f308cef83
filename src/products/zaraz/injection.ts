/**
 * Which pages get the script, and how: an element before the end of the head, with the nonce of the page's policy (CSP). A
 * policy that names sources of scripts and no nonce gets one of ours, unless it allows every inline script, which a nonce
 * would end.
 */
import { randomBytes } from "node:crypto";
import type { HtmlPage, HtmlRewrite } from "../../kernel/capabilities.ts";
import { HeadEnd } from "./head-end.ts";

const CSP_HEADERS = ["content-security-policy", "content-security-policy-report-only"];
/** The directives that may govern a script element, the first of them that a policy has. */
const DIRECTIVES = ["script-src-elem", "script-src", "default-src"];

export function injectionFor(page: HtmlPage, scriptPath: string, { iframes }: { readonly iframes: boolean }): HtmlRewrite | undefined {
  const { request, headers } = page;
  if (request.method !== "GET" || (headers.get("content-type") ?? "").toLowerCase().includes("utf-16")) return undefined;
  const destination = request.headers["sec-fetch-dest"];
  if (!iframes && (destination === "iframe" || destination === "frame" || destination === "embed" || destination === "object"))
    return undefined;
  // Browsers say so on secure connections only: the script looks again.
  const { nonce, changed } = noncesOf(headers);
  const attribute = nonce === undefined ? "" : ` nonce="${nonce}"`;
  const element = `<script data-cfasync="false"${attribute}${iframes ? "" : " data-top-only"} src="${escaped(scriptPath)}" referrerpolicy="origin"></script>`;
  return { headers: changed, transform: () => new HeadEnd(element) };
}

function noncesOf(headers: ReadonlyMap<string, string>): { nonce: string | undefined; changed: Record<string, string> } {
  const present = CSP_HEADERS.filter((name) => headers.has(name));
  for (const name of present) {
    const [, known] =
      /(?:script-src|script-src-elem|default-src)\s[^;,]*'nonce-([\w+/=-]{1,200})'/i.exec(headers.get(name) as string) ?? [];
    if (known !== undefined) return { nonce: known, changed: {} };
  }
  const fresh = randomBytes(16).toString("base64");
  const changed: Record<string, string> = {};
  for (const name of present) {
    const policies = (headers.get(name) as string).split(",").map((policy) => withNonce(policy, fresh));
    if (policies.some(({ added }) => added)) changed[name] = policies.map(({ text }) => text).join(",");
  }
  return { nonce: Object.keys(changed).length === 0 ? undefined : fresh, changed };
}

function withNonce(policy: string, nonce: string): { readonly text: string; readonly added: boolean } {
  const parts = policy.split(";");
  for (const name of DIRECTIVES) {
    const at = parts.findIndex((part) => part.trim().toLowerCase().split(/\s/)[0] === name);
    if (at === -1) continue;
    const part = parts[at] as string;
    if (/'unsafe-inline'|'none'/i.test(part)) return { text: policy, added: false };
    parts[at] = `${part.trimEnd()} 'nonce-${nonce}'`;
    return { text: parts.join(";"), added: true };
  }
  return { text: policy, added: false };
}

const escaped = (text: string): string => text.replace(/[&"<>]/g, (c) => `&#${c.charCodeAt(0)};`);
