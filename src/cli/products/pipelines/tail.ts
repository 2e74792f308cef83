/**
 * `freehold pipelines tail`: events of a stream as they arrive, with those that are dropped and why. A client of the REST
 * API's tail (`src/products/pipelines/tails.ts`): columns for people, the API's own lines for scripts. Ends with 0 on Ctrl-C, or when nobody reads
 * what it prints.
 */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { type Args, CliError, type Command, usageError } from "../../command.ts";
import { DEFAULT_DATA_DIRECTORY, type ReadyFile, runningPlatform } from "../../data-directory.ts";
import { dataFlag, jsonFlag } from "../../flags.ts";
import { paint } from "../../terminal.ts";

/** A line of the API. */
interface Line {
  readonly kind: "start" | "event" | "drop" | "skipped";
  readonly time: string;
  readonly stream?: { readonly id: string; readonly name: string };
  readonly error?: string;
  readonly message?: string;
  readonly count?: number;
}

export const tail: Command = {
  name: "pipelines tail",
  summary: "show a stream's events and drops live",
  positionals: "STREAM",
  details:
    "STREAM is an id or a name. Shows what arrives from now on; what does not fit the stream's schema is marked with its error. A terminal that does not keep up is told how many events it missed. Ctrl-C ends it.",
  flags: { data: dataFlag, json: { ...jsonFlag, doc: "print one JSON object a line" } },
  async run(args: Args): Promise<number> {
    const [stream, ...more] = args.rest;
    if (stream === undefined || more.length > 0) throw usageError("Name one stream by its id or name: freehold pipelines tail STREAM");
    const ready = runningPlatform(args.text("data") ?? DEFAULT_DATA_DIRECTORY);
    const stopping = new AbortController();
    process.once("SIGINT", () => stopping.abort());
    process.once("SIGTERM", () => stopping.abort());
    process.stdout.once("error", () => stopping.abort());
    try {
      const answer = await open(ready, stream, stopping.signal);
      for await (const line of createInterface({ input: answer, crlfDelay: Number.POSITIVE_INFINITY })) {
        if (stopping.signal.aborted) break;
        const text = args.has("json") ? line : shown(line);
        // Reading stops while the terminal is behind: the platform then leaves lines out.
        if (!process.stdout.write(`${text}\n`)) await once(process.stdout, "drain", { signal: stopping.signal });
      }
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
    }
    if (stopping.signal.aborted) return 0;
    throw new CliError("The tail has ended: the stream was deleted, or the platform stopped.");
  },
};

/** The answer to the tail's request. Not `fetch`, which gives up on an answer that is silent for five minutes. */
async function open(ready: ReadyFile, stream: string, signal: AbortSignal): Promise<IncomingMessage> {
  const url = `${ready.api}/accounts/${ready.account_id}/pipelines/v1/streams/${encodeURIComponent(stream)}/tail`;
  const request = get(url, { headers: { authorization: `Bearer ${ready.api_token}` }, signal });
  let answer: IncomingMessage;
  try {
    [answer] = (await once(request, "response")) as [IncomingMessage];
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new CliError(`The platform (process ${ready.pid}) does not answer on ${ready.api}: ${(cause as Error).message}.`, { cause });
  }
  if (answer.statusCode === 200) return answer;
  const body = JSON.parse(Buffer.concat(await answer.toArray()).toString("utf8")) as { errors: { message: string; code: number }[] };
  const errors = body.errors.map(({ message, code }) => `${message} (${code})`).join("; ");
  throw new CliError(`Stream "${stream}" cannot be tailed: ${errors}. \`freehold exec -- wrangler pipelines streams list\` shows streams.`);
}

const KIND_COLUMNS = 13;
const EVENT = ',"event":';

/** One line for people, at most as wide as the terminal. */
function shown(text: string): string {
  const line = JSON.parse(text) as Line;
  // As it was sent: parsed and printed again it would lose digits. It is the last member.
  const event = text.slice(text.indexOf(EVENT) + EVENT.length, -1);
  const time = paint("dim", line.time.slice(11, 23));
  const width = process.stdout.isTTY ? process.stdout.columns - "12:00:00.000  ".length - KIND_COLUMNS - 2 : Number.POSITIVE_INFINITY;
  const row = (style: "green" | "red" | "yellow" | "bold", kind: string, text: string): string =>
    `${time}  ${paint(style, kind.padEnd(KIND_COLUMNS))}  ${cut(printable(text), width)}`;
  switch (line.kind) {
    case "start":
      return row("bold", "tail", `${line.stream?.name} (${line.stream?.id})`);
    case "event":
      return row("green", "event", event);
    case "drop":
      return row("red", line.error ?? "", `${line.message}: ${event}`);
    case "skipped":
      return row("yellow", "skipped", `${line.count} events: this terminal does not keep up`);
  }
}

const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text);

/** Events are other people's text: what would steer the terminal, or turn the direction of writing, is shown as an escape. */
const printable = (text: string): string =>
  text.replace(/[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
