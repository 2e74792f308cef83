/**
 * The REST v4 API as pages use it: the envelope opened, failures as `ApiFailure` with the API's own code and words, lists
 * by page. The session's cookie goes with every request by itself; the header says that one of our own pages asks.
 */
import { session } from "./session.ts";

export const PAGE_HEADER = { "x-freehold-dashboard": "1" } as const;

/** What the API said no with. `code` is 0 when there was no answer of the API at all. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly code: number;

  constructor(message: string, status: number, code: number) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface Envelope {
  readonly success: boolean;
  readonly errors?: readonly { readonly code: number; readonly message: string }[] | null;
  readonly result: unknown;
  readonly result_info?: unknown;
}

export interface Answer<T, I = unknown> {
  readonly result: T;
  readonly info: I;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface CallOptions {
  readonly method?: Method;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: BodyInit;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A path under /client/v4. Throws `ApiFailure`; when the session is over it leads to the sign-in page. */
export async function call<T, I = unknown>(path: string, options: CallOptions = {}): Promise<Answer<T, I>> {
  const response = await send(path, options);
  const envelope = (await response.json().catch(() => undefined)) as Envelope | undefined;
  if (!response.ok || envelope?.success === false) throw failureOf(response.status, envelope);
  return { result: envelope?.result as T, info: envelope?.result_info as I };
}

async function send(path: string, { method = "GET", body, raw, headers, signal }: CallOptions): Promise<Response> {
  const json = body !== undefined;
  try {
    return await fetch(`/client/v4${path}`, {
      method,
      headers: { ...PAGE_HEADER, ...(json && { "content-type": "application/json" }), ...headers },
      body: json ? JSON.stringify(body) : (raw ?? null),
      signal: signal ?? null,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiFailure("The platform does not answer. Is it running?", 0, 0);
  }
}

/** A path under the account whose answer is no envelope: a value, a file. */
export async function rawOnAccount(path: string, signal?: AbortSignal): Promise<Response> {
  const { accountId } = await session();
  const response = await send(`/accounts/${accountId}${path}`, signal ? { signal } : {});
  if (!response.ok) throw failureOf(response.status, await response.json().catch(() => undefined));
  return response;
}

/** A path under the account. */
export async function onAccount<T, I = unknown>(path: string, options: CallOptions = {}): Promise<Answer<T, I>> {
  const { accountId } = await session();
  return call<T, I>(`/accounts/${accountId}${path}`, options);
}

/** The failure in an answer. An answer of 401 means that the session is over: the page is left for the sign-in page. */
export function failureOf(status: number, body: unknown): ApiFailure {
  if (status === 401 && location.pathname !== "/sign-in") {
    location.assign(`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}${location.hash}`);
  }
  const [error] = (body as Envelope | undefined)?.errors ?? [];
  return new ApiFailure(error?.message ?? `The platform answered with status ${status}`, status, error?.code ?? 0);
}

/** Every page of a numbered list. */
export async function allPages<T>(path: string): Promise<T[]> {
  const found: T[] = [];
  for (let page = 1; page <= PAGES_MAX; page++) {
    const { result, info } = await onAccount<T[], { total_pages?: number } | undefined>(
      `${path}${path.includes("?") ? "&" : "?"}page=${page}&per_page=100`,
    );
    found.push(...result);
    if (page >= (info?.total_pages ?? 1)) break;
  }
  return found;
}

const PAGES_MAX = 100;
