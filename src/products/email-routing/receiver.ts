/**
 * A received message, from its authentication to what its rule says: forwarded, handed to a Worker, or dropped. The client
 * waits meanwhile and hears the end: what a server upstream or a Worker refuses is refused to it. Nothing is stored.
 */
import type { Dispatch, EmailActions, Zone } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Activity, ActivityLog } from "./activity.ts";
import { mailHost, normalAddress, parseAddress } from "./addresses.ts";
import { type Arrival, judge, requireAuthentic, type Verdict } from "./authentication.ts";
import type { Destinations } from "./destinations.ts";
import { extraHeaders, headerValues, receivedLine, signed } from "./forward.ts";
import type { SigningKeys } from "./keys.ts";
import type { Outbound } from "./outbound.ts";
import { Refusal } from "./refusal.ts";
import { answerTo } from "./reply.ts";
import type { MailDns } from "./resolver.ts";
import type { Rule, Rules } from "./rules.ts";
import type { Sent } from "./sent.ts";
import type { SettingsStore } from "./settings.ts";
import { spamScoreLine } from "./spam-score.ts";
import type { SenderRewriting } from "./srs.ts";

export interface Receiver {
  /** Throws a `Refusal` for a recipient that nothing is received for. */
  check(from: string, to: string): void;
  /** Resolves when the message has gone where it should. Throws a `Refusal`. */
  receive(arrival: Arrival, to: string, raw: Uint8Array): Promise<void>;
}

export interface ReceiverParts {
  readonly kernel: Pick<KernelSlice, "clock" | "log" | "config">;
  readonly settings: SettingsStore;
  readonly rules: Rules;
  readonly destinations: Destinations;
  readonly keys: SigningKeys;
  readonly dns: MailDns;
  readonly outbound: Outbound;
  readonly rewriting: SenderRewriting;
  readonly dispatch: Dispatch;
  readonly sent: Sent;
  readonly activity: ActivityLog;
}

/** Where mail for an address goes: by a rule, or back to the sender of a forwarded message that could not be delivered. */
type Found = { readonly zone: Zone } & ({ readonly rule: Rule } | { readonly bounceTo: string });

/** A message under way, judged. */
interface Incoming {
  readonly arrival: Arrival;
  readonly to: string;
  /** Name of the zone that it reached. */
  readonly zone: string;
  readonly raw: Uint8Array;
  readonly verdict: Verdict;
}

/** Marks a message that came through here, against circles of forwarding. */
const LOOP_HEADER = "X-Forwarded-By-Freehold";
const HOPS_MAX = 50;

const unknownRecipient = (): Refusal => new Refusal(550, "5.1.1 Address does not exist");

export function createReceiver(parts: ReceiverParts): Receiver {
  const { kernel, settings, rules, destinations, keys, dns, outbound, rewriting, dispatch, sent, activity } = parts;
  const hostname = mailHost(kernel.config);
  function find(from: string, to: string): Found {
    const address = parseAddress(to);
    const zone = address && settings.zoneOf(address.domain);
    if (address === undefined || zone === undefined) throw unknownRecipient();
    const origin = rewriting.restore(address.local, kernel.clock.now());
    if (origin !== undefined && from === "") return { zone, bounceTo: origin };
    const { subaddressing } = settings.of(zone.id);
    const rule = rules.match(zone.id, normalAddress(to) as string, subaddressing);
    if (rule === undefined) throw unknownRecipient();
    return { zone, rule };
  }

  /** Sends a message on. `extra`: header lines that stand before it. */
  async function forward({ arrival, to, zone, raw, verdict }: Incoming, recipient: string, extra = ""): Promise<void> {
    const trace = receivedLine({ helo: arrival.helo, ip: arrival.ip, by: hostname, recipient: to, at: kernel.clock.now() });
    const before = `${extra}${LOOP_HEADER}: ${to}\r\n${spamScoreLine(raw, verdict)}${trace}${verdict.headers}`;
    const message = await signed(Buffer.concat([Buffer.from(before), raw]), [await keys.of(hostname), await keys.of(zone)]);
    const sender = rewriting.rewrite(arrival.from, zone, kernel.clock.now());
    if (outbound.delivers) await outbound.deliver(sender, recipient, message);
    else
      await sent.keep(`forward of ${to}`, {
        sender,
        recipients: [recipient],
        subject: headerValues(raw, "subject")[0] ?? "",
        messageId: headerValues(raw, "message-id")[0] ?? "",
        raw: message,
      });
  }

  function actionsOf(incoming: Incoming, script: string): EmailActions & { forwarded(): number; refusal(): Refusal | undefined } {
    const { arrival, to, zone, raw, verdict } = incoming;
    let replied = false;
    let forwarded = 0;
    let refusal: Refusal | undefined;
    /** What is refused upstream is thrown in the Worker, and told to the client when the Worker lets it pass. */
    async function noted<T>(work: () => Promise<T>): Promise<T> {
      try {
        return await work();
      } catch (error) {
        if (error instanceof Refusal) refusal = error;
        throw error;
      }
    }
    return {
      forwarded: () => forwarded,
      refusal: () => refusal,
      forward: (recipient, headers) =>
        noted(async () => {
          if (!destinations.verified(recipient)) throw new Error("destination address not verified");
          await forward(incoming, recipient, extraHeaders(headers));
          forwarded++;
          return { messageId: headerValues(raw, "message-id")[0] ?? "" };
        }),
      reply: (reply) =>
        noted(async () => {
          if (replied) throw new Error("this email was replied to already");
          replied = true;
          const {
            sender,
            recipient,
            raw: answer,
            subject,
            messageId,
          } = await answerTo({ from: arrival.from, to, raw, dmarc: verdict.dmarc }, reply);
          const message = await signed(answer, [await keys.of(zone)]);
          if (outbound.delivers) await outbound.deliver(sender, recipient, message);
          await sent.keep(script, { sender, recipients: [recipient], subject, messageId, raw: message });
          return { messageId };
        }),
    };
  }

  async function toWorker(script: string, incoming: Incoming): Promise<Activity["status"]> {
    if (!dispatch.has(script)) throw new Refusal(451, "4.3.0 The Worker of this address is gone");
    const { arrival, to, raw } = incoming;
    const actions = actionsOf(incoming, script);
    const { outcome, rejectReason } = await dispatch.email(script, { from: arrival.from, to, raw }, actions);
    if (rejectReason !== undefined) throw new Refusal(550, `5.7.1 ${rejectReason.replace(/[^\x20-\x7e]+/g, " ")}`);
    if (outcome === "ok") return actions.forwarded() > 0 ? "forwarded" : "dropped";
    const refused = actions.refusal();
    if (refused !== undefined) throw refused;
    if (outcome === "noHandler") throw new Refusal(550, "5.3.5 The Worker of this address has no email() handler");
    throw new Refusal(451, `4.3.0 The Worker of this address failed: ${outcome}`);
  }

  async function route(found: Found, incoming: Incoming): Promise<Activity["status"]> {
    if ("bounceTo" in found) {
      await forward({ ...incoming, arrival: { ...incoming.arrival, from: "" } }, found.bounceTo);
      return "forwarded";
    }
    requireAuthentic(incoming.verdict);
    const { type, value } = found.rule.action;
    if (type === "drop") return "dropped";
    if (type === "worker") return toWorker(value[0] as string, incoming);
    await forward(incoming, value[0] as string);
    return "forwarded";
  }

  return {
    check: (from, to) => void find(from, to),
    async receive(arrival, to, raw) {
      const found = find(arrival.from, to);
      const verdict = await judge(raw, arrival, hostname, dns, await keys.of(found.zone.name));
      const note = (status: Activity["status"], error = ""): void =>
        activity.add({
          action: "rule" in found ? found.rule.action.type : "forward",
          status,
          zone_id: found.zone.id,
          sender: arrival.from,
          recipient: to,
          subject: headerValues(raw, "subject")[0] ?? "",
          message_id: headerValues(raw, "message-id")[0] ?? "",
          error,
          spf: verdict.spf,
          dkim: verdict.dkim,
          dmarc: verdict.dmarc,
        });
      try {
        requireProgress(raw, to);
        note(await route(found, { arrival, to, zone: found.zone.name, raw, verdict }));
      } catch (error) {
        note("rejected", (error as Error).message);
        if (error instanceof Refusal) throw error;
        kernel.log.error("email_routing.receive_failed", { to, error });
        throw new Refusal(451, "4.3.0 The message could not be processed", { cause: error });
      }
    },
  };
}

/** Refuses a message that was at this address before, or on its way for too long. */
function requireProgress(raw: Uint8Array, to: string): void {
  const circles = headerValues(raw, LOOP_HEADER).some((value) => normalAddress(value) === normalAddress(to));
  if (circles || headerValues(raw, "received").length > HOPS_MAX) throw new Refusal(554, "5.4.6 The message goes in circles");
}
