/** `freehold up`: its flags. What it does is in serve.ts, which loads the whole platform: other commands need not wait for that. */
import type { Command } from "./command.ts";
import { DEFAULT_HOST, DEFAULT_PORT, dataFlag } from "./flags.ts";

export const up: Command = {
  name: "up",
  summary: "start the platform and keep it running",
  flags: {
    data: dataFlag,
    host: { value: "ADDR", doc: `address to listen on (${DEFAULT_HOST})` },
    port: { value: "PORT", doc: `port to listen on, 0 for a free one (${DEFAULT_PORT})` },
    config: { value: "FILE", doc: "configuration, a JSON file" },
    "ready-file": { value: "FILE", doc: "write addresses and credentials here, as JSON, when everything serves" },
  },
  run: async (args) => (await import("./serve.ts")).serve(args),
};
