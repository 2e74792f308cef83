/** Calls the REST API of the running platform with its own token, for `status` and `token`. */
import { CliError } from "./command.ts";
import type { ReadyFile } from "./data-directory.ts";

const TIMEOUT_MS = 10_000;

interface Envelope {
  readonly success: boolean;
  readonly errors?: readonly { readonly code: number; readonly message: string }[];
  readonly result: unknown;
  readonly result_info?: { readonly total_pages?: number };
}

export interface RestAnswer {
  readonly result: unknown;
  readonly totalPages: number;
}

/** The result of one call. A refusal becomes a `CliError` with the API's own words. */
export async function callRest(ready: ReadyFile, method: string, path: string, body?: unknown): Promise<RestAnswer> {
  let response: Response;
  try {
    response = await fetch(`${ready.api}${path}`, {
      method,
      headers: { authorization: `Bearer ${ready.api_token}`, ...(body !== undefined && { "content-type": "application/json" }) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  } catch (cause) {
    const reason = ((cause as Error).cause as Error | undefined)?.message ?? (cause as Error).message;
    throw new CliError(`The platform (process ${ready.pid}) does not answer on ${ready.api}: ${reason}. Look at what it printed.`, {
      cause,
    });
  }
  const text = await response.text();
  let envelope: Envelope;
  try {
    envelope = JSON.parse(text) as Envelope;
  } catch (cause) {
    throw new CliError(`${method} ${path} answered ${response.status} without JSON.`, { cause });
  }
  if (!envelope.success) {
    const errors = envelope.errors?.map((e) => `${e.message} (${e.code})`).join("; ");
    throw new CliError(`${method} ${path} was refused with ${response.status}: ${errors || text}`);
  }
  return { result: envelope.result, totalPages: envelope.result_info?.total_pages ?? 1 };
}

/** All pages of a list, at most `PAGES_MAX`. */
export async function listRest(ready: ReadyFile, path: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let page = 1; page <= PAGES_MAX; page++) {
    const answer = await callRest(ready, "GET", `${path}${path.includes("?") ? "&" : "?"}page=${page}&per_page=50`);
    found.push(...(answer.result as unknown[]));
    if (page >= answer.totalPages) break;
  }
  return found;
}

const PAGES_MAX = 1000;
