/**
 * A message on its way to somebody else: where it has been and what was found out about it stand before it, it is signed
 * for the platform's mail domain and for the recipient's, and its envelope sender leads back here. Its own headers stay.
 * https://developers.cloudflare.com/email-routing/postmaster/
 */
import { randomUUID } from "node:crypto";
import type { SigningKey } from "./keys.ts";

/** Signs a message for each key's domain, and gives it back whole. */
export async function signed(raw: Uint8Array, keys: readonly SigningKey[]): Promise<Buffer> {
  const message = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const { dkimSign } = await import("mailauth/lib/dkim/sign.js");
  const lines: Buffer[] = [];
  for (const { domain, selector, privateKey } of keys) {
    const key = { signingDomain: domain, selector, privateKey };
    // The library's types ask for the key itself, the library for a list.
    const { signatures, errors } = await dkimSign(message, { ...key, signatureData: [key] });
    if (errors[0] !== undefined) throw errors[0].err;
    lines.push(Buffer.from(signatures));
  }
  return Buffer.concat([...lines, message]);
}

export interface Trace {
  readonly helo: string;
  readonly ip: string;
  /** Who took it in. */
  readonly by: string;
  readonly recipient: string;
  readonly at: number;
}

/** The line that every server on a message's way adds. */
export const receivedLine = ({ helo, ip, by, recipient, at }: Trace): string =>
  `Received: from ${helo.replace(/[^\w.[\]:-]/g, "")} (${ip})\r\n by ${by} with ESMTP id ${randomUUID()}\r\n for <${recipient}>; ${new Date(at).toUTCString().replace("GMT", "+0000")}\r\n`;

/** Values of one header, unfolded. */
export function headerValues(raw: Uint8Array, name: string): string[] {
  const text = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString("latin1");
  const end = text.search(/\r?\n\r?\n/);
  const head = (end < 0 ? text : text.slice(0, end)).replace(/\r?\n[ \t]+/g, " ");
  const prefix = `${name.toLowerCase()}:`;
  return head
    .split(/\r?\n/)
    .filter((line) => line.toLowerCase().startsWith(prefix))
    .map((line) => line.slice(prefix.length).trim());
}

/** Header lines that a Worker adds: only `X-*` are allowed. Throws what the Worker sees. */
export function extraHeaders(headers: readonly (readonly [string, string])[]): string {
  for (const [name, value] of headers) {
    if (!/^x-[a-z0-9-]+$/i.test(name)) throw new Error(`invalid header "${name}": only X-* headers can be added`);
    if (/[\r\n]/.test(value) || /[^\x20-\x7e\t]/.test(value)) throw new Error(`invalid value of header "${name}"`);
  }
  return headers.map(([name, value]) => `${name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())}: ${value}\r\n`).join("");
}
