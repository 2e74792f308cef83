/**
 * Names of a sink's files. A file is named by what it holds (the INSERT and its range of offsets), not by chance: a roll
 * that a crash interrupted is written again under the same name, over what may be there already.
 */
import { createHash } from "node:crypto";
import { pipelinesError } from "./errors.ts";

export type NamingStrategy = "serial" | "uuid" | "uuid_v7" | "ulid";

export interface FileIdentity {
  readonly pipeline: string;
  /** Place of the INSERT in the pipeline's SQL. */
  readonly ordinal: number;
  /** First offset, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** Ingest time of the first event, milliseconds since the epoch. */
  readonly time: number;
  /** Files that this INSERT has written before. */
  readonly serial: number;
}

/** The name's variable part: 16 bytes that follow from the identity, in the strategy's form. */
export function fileStem(strategy: NamingStrategy, file: FileIdentity): string {
  const hash = createHash("sha256").update(`${file.pipeline}/${file.ordinal}/${file.from}-${file.to}`).digest().subarray(0, 16);
  switch (strategy) {
    case "serial":
      return `${String(file.serial).padStart(5, "0")}-${String(file.ordinal).padStart(3, "0")}`;
    case "uuid":
      return uuid(hash, 4);
    case "uuid_v7":
      hash.writeUIntBE(file.time, 0, 6);
      return uuid(hash, 7);
    case "ulid":
      hash.writeUIntBE(file.time, 0, 6);
      return crockford(hash);
  }
}

function uuid(bytes: Buffer, version: number): string {
  bytes[6] = ((bytes[6] as number) & 0x0f) | (version << 4);
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** 128 bits as 26 digits of Crockford's base 32: the text form of a ULID. */
function crockford(bytes: Buffer): string {
  let value = BigInt(`0x${bytes.toString("hex")}`);
  let text = "";
  for (let i = 0; i < 26; i++) {
    text = `${"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[Number(value & 31n)]}${text}`;
    value >>= 5n;
  }
  return text;
}

const pad = (value: number, width = 2): string => String(value).padStart(width, "0");

/** Specifiers of chrono's strftime that say nothing about a locale. Times are UTC. */
const specifiers: Readonly<Record<string, (date: Date) => string>> = {
  Y: (d) => pad(d.getUTCFullYear(), 4),
  y: (d) => pad(d.getUTCFullYear() % 100),
  C: (d) => pad(Math.floor(d.getUTCFullYear() / 100)),
  m: (d) => pad(d.getUTCMonth() + 1),
  d: (d) => pad(d.getUTCDate()),
  e: (d) => String(d.getUTCDate()).padStart(2, " "),
  H: (d) => pad(d.getUTCHours()),
  I: (d) => pad(((d.getUTCHours() + 11) % 12) + 1),
  M: (d) => pad(d.getUTCMinutes()),
  S: (d) => pad(d.getUTCSeconds()),
  j: (d) => pad(Math.floor((d.getTime() - Date.UTC(d.getUTCFullYear(), 0, 1)) / 86_400_000) + 1, 3),
  u: (d) => String(((d.getUTCDay() + 6) % 7) + 1),
  w: (d) => String(d.getUTCDay()),
  s: (d) => String(Math.floor(d.getTime() / 1000)),
  F: (d) => d.toISOString().slice(0, 10),
  T: (d) => d.toISOString().slice(11, 19),
  "%": () => "%",
};

/** The folder of a time under a pattern such as "year=%Y/month=%m/day=%d". */
export function timePath(pattern: string, time: number): string {
  const date = new Date(time);
  return pattern.replace(/%(.)/gs, (_, key: string) => (specifiers[key] as (date: Date) => string)(date));
}

/** Throws `pipelines.invalidSink` for a specifier that we do not know. */
export function checkTimePattern(pattern: string): void {
  for (const [text, key] of pattern.matchAll(/%(.?)/gs))
    if (!Object.hasOwn(specifiers, key as string))
      throw pipelinesError("invalidSink", `partitioning.time_pattern: unknown specifier "${text}"`);
}
