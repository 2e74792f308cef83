/** `freehold dash`: a link that opens the dashboard signed in, so that nobody has to copy a token. */
import type { Command } from "./command.ts";
import { DEFAULT_DATA_DIRECTORY, runningPlatform } from "./data-directory.ts";
import { dataFlag, jsonFlag } from "./flags.ts";
import { callRest } from "./rest.ts";
import { paint, print } from "./terminal.ts";

export const dash: Command = {
  name: "dash",
  summary: "print a link that signs you in to the dashboard",
  details: "The link works once, within five minutes, and may do what the platform's own token may.",
  flags: { data: dataFlag, json: jsonFlag },
  async run(args) {
    const ready = runningPlatform(args.text("data") ?? DEFAULT_DATA_DIRECTORY);
    const { url, expires_on } = (await callRest(ready, "POST", "/freehold/dashboard/links")).result as { url: string; expires_on: string };
    if (args.has("json")) print(JSON.stringify({ url, expires_on }));
    else {
      print(url);
      print(paint("dim", "Open it in a browser within five minutes; it works once."));
    }
    return 0;
  },
};
