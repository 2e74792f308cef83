/**
 * Web Bot Auth (draft-meunier-web-bot-auth-architecture): requests of REST actions are signed after RFC 9421, so that whoever
 * is asked can tell that they are this platform's. The key follows from the installation's secret; the directory of keys is
 * public, on a host of its own, and signs its answer for the name it was asked under.
 */
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HostRoute, KernelSlice } from "../../kernel/product.ts";

export interface BotAuth {
  /** The headers that sign a request to the URL. */
  headers(url: URL): Record<string, string>;
  /** Where the keys are. */
  readonly host: HostRoute;
}

const HOST = "web-bot-auth";
const DIRECTORY = "/.well-known/http-message-signatures-directory";
const VALID_S = 300;
const NONCE_BYTES = 64;
/** What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

export function openBotAuth({ secrets, clock, urls }: KernelSlice): BotAuth {
  const seed = secrets.derive("browser-rendering/web-bot-auth");
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
  const { x } = createPublicKey(key).export({ format: "jwk" }) as { x: string };
  // RFC 7638: the members that make the key, in alphabetical order.
  const kid = createHash("sha256")
    .update(JSON.stringify({ crv: "Ed25519", kty: "OKP", x }))
    .digest("base64url");

  /** Signs the components, which are lines of the signature base in order. */
  function signed(components: readonly (readonly [name: string, value: string])[], tag: string): Record<string, string> {
    const created = Math.floor(clock.now() / 1000);
    const nonce = randomBytes(NONCE_BYTES).toString("base64");
    const names = components.map(([name]) => name).join(" ");
    const params = `(${names});created=${created};expires=${created + VALID_S};keyid="${kid}";alg="ed25519";nonce="${nonce}";tag="${tag}"`;
    const base = [...components.map(([name, value]) => `${name}: ${value}`), `"@signature-params": ${params}`].join("\n");
    return { "Signature-Input": `sig1=${params}`, Signature: `sig1=:${sign(null, Buffer.from(base), key).toString("base64")}:` };
  }

  function directory(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const found = (request.url as string).split("?")[0] === DIRECTORY && ["GET", "HEAD"].includes(request.method as string);
    if (!found) return void response.writeHead(404, { "content-type": "text/plain" }).end("Not found\n");
    response.writeHead(200, {
      "content-type": "application/http-message-signatures-directory+json",
      "cache-control": "max-age=86400",
      ...signed([['"@authority";req', request.headers.host ?? ""]], "http-message-signatures-directory"),
    });
    response.end(JSON.stringify({ keys: [{ kty: "OKP", crv: "Ed25519", x, kid, use: "sig" }] }));
  }

  return {
    headers(url) {
      const agent = `"${urls.host(HOST)}"`;
      const components = [
        ['"@authority"', url.host],
        ['"signature-agent"', agent],
      ] as const;
      return { "Signature-Agent": agent, ...signed(components, "web-bot-auth") };
    },
    host: {
      name: "web_bot_auth",
      patterns: [HOST],
      template: DIRECTORY,
      handle: (_params, request, response) => directory(request, response),
    },
  };
}
