/**
 * One JSON object a line: time, level, product, event ("queue.batch_delivered"), fields. Pretty on a terminal.
 * `DEBUG=kv,r2` turns on debug lines by scope. Nothing else in the project writes to the console's log.
 */
import { createRequire } from "node:module";
import pino from "pino";

type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  /** Something that an operator should look at. In tests an unexpected error line fails the test. */
  error(event: string, fields?: Fields): void;
  child(fields: Fields): Log;
  /** The log of one scope: a product or a part of the kernel. */
  scope(name: string): Log;
}

/** Opens the log on stderr; `json` forces one JSON object a line. */
export function openLog(options: { json?: boolean; level?: string } = {}): Log {
  const debugScopes = new Set((process.env.DEBUG ?? "").split(",").filter(Boolean));
  const usePretty = !options.json && process.stderr.isTTY === true;
  const stream = usePretty ? prettyStream() : pino.destination({ dest: 2, sync: true });
  const root = pino(
    {
      base: null,
      level: "debug",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      // An error in a field: its text and stack with those of its causes.
      serializers: { error: pino.stdSerializers.err },
    },
    stream,
  );
  return wrap(root, "freehold", debugScopes, options.level ?? "info");
}

/** For people at a terminal; loaded only for them. */
function prettyStream(): NodeJS.WritableStream {
  const pretty = createRequire(import.meta.url)("pino-pretty") as typeof import("pino-pretty");
  return pretty({ destination: 2, sync: true, ignore: "pid,hostname", singleLine: true });
}

function wrap(logger: pino.Logger, scope: string, debugScopes: ReadonlySet<string>, level: string): Log {
  const scoped = logger.child({ scope });
  const effective = debugScopes.has(scope) || debugScopes.has("*") ? "debug" : level;
  return over(scoped, logger, scope, debugScopes, effective);
}

function over(scoped: pino.Logger, root: pino.Logger, scope: string, debugScopes: ReadonlySet<string>, level: string): Log {
  scoped.level = level;
  const write =
    (name: "debug" | "info" | "warn" | "error") =>
    (event: string, fields: Fields = {}) =>
      scoped[name](fields, event);
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (fields) => over(scoped.child(fields), root, scope, debugScopes, level),
    scope: (name) => wrap(root, name, debugScopes, level),
  };
}
