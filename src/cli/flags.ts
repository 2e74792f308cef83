/** Flags that several commands have, and their defaults. */
import { type Flag, usageError } from "./command.ts";
import { DEFAULT_DATA_DIRECTORY } from "./data-directory.ts";

export const DEFAULT_HOST = "127.0.0.1";
export const DEFAULT_PORT = 8787;

export const dataFlag: Flag = { value: "DIR", doc: `data directory (${DEFAULT_DATA_DIRECTORY})` };
export const jsonFlag: Flag = { doc: "print JSON" };

/** The value of --port: 0 picks a free one. */
export function portNumber(text: string | undefined): number {
  if (text === undefined) return DEFAULT_PORT;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535)
    throw usageError(`--port ${text} is not a port; give a number from 0 to 65535 (0 picks a free one).`);
  return port;
}
