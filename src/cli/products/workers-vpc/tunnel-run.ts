/** `freehold tunnel run`: the connector of a private network, by a tunnel's token alone. It needs no data directory. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Args, CliError, type Command, usageError } from "../../command.ts";
import { version } from "../../help.ts";
import { RefusedError, runConnector } from "./connector.ts";

export const tunnelRun: Command = {
  name: "tunnel run",
  summary: "connect this machine's network to the platform for Workers VPC",
  details:
    "Runs in the private network and dials out to the platform; VPC services of the tunnel are then reached through it. Several may run for one tunnel: when one goes, another serves. The token may also stand in TUNNEL_TOKEN. Ctrl-C ends it.",
  flags: {
    token: { value: "TOKEN", doc: "the tunnel's token, from the dashboard or the API" },
    platform: { value: "URL", doc: "where the platform answers, if not at the address in the token: http://10.0.0.1:8787" },
    ca: { value: "FILE", doc: "PEM of the authority that signed the platform's certificate, for https" },
  },
  async run(args: Args): Promise<number> {
    const token = args.text("token") ?? process.env.TUNNEL_TOKEN;
    if (token === undefined) throw usageError("Give the tunnel's token: freehold tunnel run --token TOKEN");
    const home = homeOf(token);
    const platform = dialled(urlOf(args.text("platform") ?? home.href));
    if (platform.protocol === "http:" && !/^(127\.|\[::1\]$)/.test(platform.hostname))
      process.stderr.write("The connection to the platform is not encrypted: give its https address by --platform.\n");
    const stopping = new AbortController();
    process.once("SIGINT", () => stopping.abort());
    process.once("SIGTERM", () => stopping.abort());
    try {
      await runConnector({
        token,
        platform,
        host: home.host,
        ca: args.has("ca") ? readFileSync(args.text("ca") as string, "utf8") : undefined,
        client: randomUUID(),
        version: version(),
        signal: stopping.signal,
        say: (line) => void process.stdout.write(`${line}\n`),
      });
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      throw new CliError(`The platform refuses this connector: ${error.message}. Get the tunnel's token anew.`, { cause: error });
    }
    return 0;
  },
};

function homeOf(token: string): URL {
  try {
    const { u } = JSON.parse(Buffer.from(token, "base64").toString("utf8")) as { u?: unknown };
    return new URL(String(u));
  } catch (cause) {
    throw usageError(`This is no token of a tunnel: ${(cause as Error).message}`);
  }
}

function urlOf(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw usageError(`"${text}" is no URL: give one such as http://10.0.0.1:8787`);
}

/** Names under "localhost" are this machine, which resolvers do not all know. */
function dialled(url: URL): URL {
  const to = new URL(url);
  if (/(^|\.)localhost$/.test(url.hostname)) to.hostname = "127.0.0.1";
  return to;
}
