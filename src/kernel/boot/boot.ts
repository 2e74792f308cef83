/** What the stages of a boot share. Each stage registers how to end what it started; the ends run in the reverse order. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { PlatformOptions } from "../platform.ts";
import type { Product } from "../product.ts";

export interface Boot {
  readonly options: PlatformOptions;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** The products, each after those whose capabilities it needs. */
  readonly order: readonly Product[];
  onStop(end: () => Promise<void>): void;
}

/** The directory of that name holds what the platform's own engines keep, by product. */
export const SYSTEM_STATE = "system";

/** A directory inside the data directory, made if it is not there. */
export async function dataDirectory({ options }: Boot, name: string): Promise<string> {
  const directory = join(options.dataDirectory, name);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return directory;
}

/** An address inside a URL: clients on this machine cannot connect to "any". */
export function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
