/**
 * How much a message looks like spam, 0 to 5, told in a header of what is forwarded. Passive: nothing is refused for it. The
 * real service's statistics are not known; here each sign that a head or its authentication shows counts one.
 * https://developers.cloudflare.com/email-routing/postmaster/#anti-spam
 */
import type { Verdict } from "./authentication.ts";
import { headerValues } from "./forward.ts";

const SCORE_MAX = 5;
/** A subject in capitals is a sign from this many letters on. */
const SHOUTED_LETTERS_MIN = 8;

type Sign = (verdict: Pick<Verdict, "spf" | "dkim" | "dmarc">, header: (name: string) => string | undefined) => boolean;

const signs: readonly Sign[] = [
  ({ spf }) => spf !== "pass",
  ({ dkim }) => dkim === "fail",
  ({ dmarc }) => dmarc === "fail",
  (_, header) => header("message-id") === undefined,
  (_, header) => header("date") === undefined,
  (_, header) => (header("subject") ?? "") === "",
  (_, header) => shouted(header("subject") ?? ""),
];

function shouted(subject: string): boolean {
  const letters = subject.replace(/[^\p{L}]/gu, "");
  return letters.length >= SHOUTED_LETTERS_MIN && letters === letters.toUpperCase() && letters !== letters.toLowerCase();
}

/** The header line, to stand before a message that goes on. */
export function spamScoreLine(raw: Uint8Array, verdict: Parameters<Sign>[0]): string {
  const found = signs.filter((sign) => sign(verdict, (name) => headerValues(raw, name)[0])).length;
  return `X-Cf-Spamh-Score: ${Math.min(found, SCORE_MAX)}\r\n`;
}
