/**
 * The binding type "send_email": `env.NAME.send(message)` by a module of ours inside the Worker's process. What the binding
 * allows is part of its capability and is checked on this side, where Worker code has no say.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { PlatformError } from "../../kernel/errors.ts";
import type { BindingCompiler, CapabilityMint, Claims } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { bodyOf } from "../../kernel/workerd/request-body.ts";
import { parseAddress } from "./addresses.ts";
import type { Destinations } from "./destinations.ts";
import { emailError } from "./errors.ts";
import { signed } from "./forward.ts";
import type { SigningKeys } from "./keys.ts";
import type { Outbound } from "./outbound.ts";
import { builderSchema, builtMessage, MESSAGE_MAX_BYTES, type Outgoing, rawMessage, type SendRules } from "./outgoing.ts";
import { Refusal } from "./refusal.ts";
import type { Sent } from "./sent.ts";
import type { SettingsStore } from "./settings.ts";

const MODULE = "freehold:send-email";
/** Attachments travel in base64. */
const BUILDER_MAX_BYTES = Math.ceil((MESSAGE_MAX_BYTES * 4) / 3) + 1024 * 1024;

const rulesSchema = z.object({
  destination_address: z.string().optional(),
  allowed_destination_addresses: z.array(z.string()).max(200).optional(),
  allowed_sender_addresses: z.array(z.string()).max(200).optional(),
});

export function emailBinding(mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const rules = rulesSchema.safeParse(binding);
      if (!rules.success) throw emailError("binding", `Binding "${binding.name}": ${rules.error.issues[0]?.path.join(".")} is invalid.`);
      if (rules.data.destination_address !== undefined && rules.data.allowed_destination_addresses !== undefined)
        throw emailError("binding", `Binding "${binding.name}": destination_address and allowed_destination_addresses exclude each other.`);
      return { type: "send_email", name: binding.name, ...rules.data };
    },
    async compile(binding, worker) {
      const service = `email:${binding.name}`;
      const claims = { worker: worker.scriptName, rules: JSON.stringify(rulesSchema.parse(binding)) };
      return {
        bindings: [{ name: binding.name, wrapped: { moduleName: MODULE, innerBindings: [{ name: "outbox", service }] } }],
        services: [mint.node(service, claims)],
        extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./binding.worker.ts"), internal: true }],
      };
    },
  };
}

export interface SendParts {
  readonly sent: Sent;
  readonly outbound: Outbound;
  readonly settings: SettingsStore;
  readonly destinations: Destinations;
  readonly keys: SigningKeys;
}

/**
 * Delivers a message and keeps a copy. Where mail leaves the platform its recipients must be verified and its sender must be
 * of a domain with Email Routing, as documented; where it stays here, nobody is bothered by it.
 */
async function dispatchMessage(
  { sent, outbound, settings, destinations, keys }: SendParts,
  worker: string,
  message: Outgoing,
): Promise<void> {
  if (!outbound.delivers) return sent.keep(worker, message);
  const domain = parseAddress(message.sender)?.domain;
  const zone = domain === undefined ? undefined : settings.zoneOf(domain);
  if (zone === undefined) throw emailError("sender", `email from ${message.sender} not allowed`);
  const stranger = message.recipients.find((recipient) => !destinations.verified(recipient));
  if (stranger !== undefined) throw emailError("recipient", `email to ${stranger} not allowed`);
  const raw = await signed(message.raw, [await keys.of(zone.name)]);
  try {
    for (const recipient of message.recipients) await outbound.deliver(message.sender, recipient, raw);
  } catch (error) {
    if (error instanceof Refusal)
      throw emailError("notDelivered", `email was refused: ${error.responseCode} ${error.message}`, { cause: error });
    throw error;
  }
  await sent.keep(worker, { ...message, raw });
}

/** Takes a message of a binding: `POST /raw?from=…&to=…` with its bytes, or `POST /message` with the builder's JSON. */
export async function takeMessage(parts: SendParts, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = (status: number, body: object): void => {
    const text = JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
  };
  try {
    const message = await read(JSON.parse(claims.rules as string) as SendRules, request);
    await dispatchMessage(parts, claims.worker as string, message);
    answer(200, { messageId: message.messageId });
  } catch (error) {
    if (!(error instanceof PlatformError) || response.headersSent) throw error;
    answer(error.spec.status, { error: error.message });
  }
}

async function read(rules: SendRules, request: IncomingMessage): Promise<Outgoing> {
  const url = new URL(request.url as string, "http://email");
  if (url.pathname === "/raw") {
    const to = url.searchParams.get("to") ?? undefined;
    return rawMessage(rules, url.searchParams.get("from") ?? "", to, await bytesOf(request, MESSAGE_MAX_BYTES));
  }
  const bytes = await bytesOf(request, BUILDER_MAX_BYTES);
  const given = builderSchema.safeParse(JSON.parse(Buffer.from(bytes).toString("utf8")));
  if (!given.success) {
    const [issue] = given.error.issues;
    throw emailError("unparsable", `could not parse email: ${issue?.path.join(".")}: ${issue?.message}`);
  }
  return builtMessage(rules, given.data);
}

async function bytesOf(request: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const bytes = await bodyOf(request, maxBytes);
  if (bytes === undefined) throw emailError("tooLarge");
  return bytes;
}
