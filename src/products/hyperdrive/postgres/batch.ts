/**
 * Messages of the extended protocol that lead up to a Sync or Flush: what they ask for together, the cache key of that, and
 * how they are sent to a server connection whose prepared statements have other names.
 */
import type { CacheStatus } from "../backend.ts";
import type { Inspection } from "../sql.ts";
import { Client, message, ProtocolError, sync, textAt } from "./messages.ts";
import type { PostgresOrigin, Statement } from "./origin.ts";

export type Step =
  | { readonly kind: "parse"; readonly statement: Statement; readonly raw: Buffer }
  /** `rest` is what follows the names: formats and parameters. */
  | {
      readonly kind: "bind";
      readonly statement: Statement | undefined;
      readonly portal: string;
      readonly rest: Buffer;
      readonly raw: Buffer;
    }
  | { readonly kind: "describe"; readonly what: string; readonly statement: Statement | undefined; readonly raw: Buffer }
  | { readonly kind: "execute"; readonly portal: string; readonly rowsMax: number; readonly raw: Buffer }
  | { readonly kind: "close"; readonly what: string; readonly raw: Buffer };

/** The names of a Bind, which may be the head of a larger one. */
export function namesOfBind(head: Buffer): { readonly portal: string; readonly statement: string; readonly restAt: number } {
  const [portal, statementAt] = textAt(head, 5);
  const [statement, restAt] = textAt(head, statementAt);
  return { portal, statement, restAt };
}

/** Reads a message that is neither Parse, Sync nor Flush; `find` knows the session's statements by their given names. */
export function stepOf(type: number, raw: Buffer, find: (name: string) => Statement | undefined): Step {
  if (type === Client.bind) {
    const { portal, statement, restAt } = namesOfBind(raw);
    return { kind: "bind", statement: find(statement), portal, rest: raw.subarray(restAt), raw };
  }
  if (type === Client.describe) {
    const what = String.fromCharCode(raw[5] ?? 0);
    return { kind: "describe", what, statement: what === "S" ? find(textAt(raw, 6)[0]) : undefined, raw };
  }
  if (type === Client.execute) {
    const [portal, at] = textAt(raw, 5);
    return { kind: "execute", portal, rowsMax: raw.readInt32BE(at), raw };
  }
  if (type === Client.close) return { kind: "close", what: String.fromCharCode(raw[5] ?? 0), raw };
  throw new ProtocolError(`a message of type ${type} has no place here`);
}

/** A Bind with the statement's name on the server. `length` is that of the whole message, of which `bytes` may be the head. */
export function boundTo(statement: Statement, portal: string, bytes: Buffer, restAt: number, length: number): Buffer {
  const names = Buffer.from(`${portal}\0${statement.name}\0`);
  const head = Buffer.alloc(5);
  head[0] = Client.bind;
  head.writeInt32BE(length - 1 - (restAt - 5) + names.length, 1);
  return Buffer.concat([head, names, bytes.subarray(restAt)]);
}

/** Sends the steps and the Sync after them. False: the server does not take more for now. */
export function sendCycle(origin: PostgresOrigin, steps: readonly Step[]): boolean {
  origin.cork();
  const flowing = sendSteps(origin, steps);
  const finished = origin.finish(sync);
  origin.uncork();
  return flowing && finished;
}

/** Sends the steps. What the client sees of them is what it would see of its own messages. */
export function sendSteps(origin: PostgresOrigin, steps: readonly Step[]): boolean {
  let flowing = true;
  for (const step of steps) {
    if (step.kind === "parse") origin.parse(step.statement, step.statement.name === "" ? step.raw : undefined);
    else if (step.kind === "bind" && step.statement !== undefined) {
      origin.ensure(step.statement);
      const { restAt } = namesOfBind(step.raw);
      flowing = origin.write(boundTo(step.statement, step.portal, step.raw, restAt, step.raw.length));
    } else if (step.kind === "describe" && step.statement !== undefined) {
      origin.ensure(step.statement);
      origin.write(message(Client.describe, "S", step.statement.name, "\0"));
    } else if (step.kind === "close") origin.closeFor(step.what === "S" ? undefined : step.raw);
    else flowing = origin.write(step.raw);
  }
  return flowing;
}

/** Whether the steps' result may be cached as far as they show it, or why not; undefined when they run nothing. */
export function cacheStatusOf(steps: readonly Step[], inspect: (sql: string) => Inspection): CacheStatus | "cacheable" | undefined {
  const executes = steps.filter((step) => step.kind === "execute");
  if (executes.length === 0) return undefined;
  const binds = steps.filter((step) => step.kind === "bind");
  const [execute, bind] = [executes[0], binds[0]];
  if (executes.length > 1 || binds.length > 1) return "multiplestatements";
  if (execute?.portal !== "" || execute.rowsMax !== 0 || bind?.statement === undefined || bind.portal !== "") return "uncacheable";
  const { verdict } = inspect(bind.statement.sql);
  if (verdict !== "cacheable") return verdict;
  // As documented of drivers that do not prepare (postgres.js with `prepare: false`): they ask for the types of an unnamed statement.
  const parsed = steps.some((step) => step.kind === "parse" && step.statement === bind.statement);
  const described = steps.some((step) => step.kind === "describe" && step.what === "S");
  return bind.statement.name === "" && (described || !parsed) ? "uncacheable" : "cacheable";
}

/** Everything that the answer to the steps depends on. */
export function keyParts(steps: readonly Step[]): (string | Uint8Array)[] {
  const parts: (string | Uint8Array)[] = [];
  for (const step of steps) {
    parts.push(step.kind);
    if (step.kind === "parse" || (step.kind === "describe" && step.statement !== undefined)) parts.push(...textOf(step.statement));
    else if (step.kind === "describe" || step.kind === "close") parts.push(step.what);
    else if (step.kind === "bind") parts.push(...textOf(step.statement), step.rest);
  }
  return parts;
}

const textOf = (statement: Statement | undefined): (string | Uint8Array)[] =>
  statement === undefined ? [] : [statement.sql, statement.types];
