/** The signed-in session: whose token, which account, and where the platform's hosts are. Asked for once for each visit. */
import { call, failureOf, PAGE_HEADER } from "./rest.ts";

export interface Session {
  readonly accountId: string;
  readonly accountName: string;
  readonly tokenId: string;
  /** URL templates by host: "http://{account}.r2.freehold.localhost:8787". */
  readonly hosts: Readonly<Record<string, string>>;
}

let current: Promise<Session> | undefined;

/** Rejects with `ApiFailure` 401 when nobody is signed in. */
export function session(): Promise<Session> {
  current ??= load().catch((error: unknown) => {
    current = undefined;
    throw error;
  });
  return current;
}

async function load(): Promise<Session> {
  // First, and alone: without a session it is the only one that is refused.
  const accounts = await call<{ id: string; name: string }[]>("/accounts");
  const [token, hosts] = await Promise.all([call<{ id: string }>("/user/tokens/verify"), call<Record<string, string>>("/freehold/hosts")]);
  const account = accounts.result[0];
  if (account === undefined) throw new Error("the platform has no account");
  return { accountId: account.id, accountName: account.name, tokenId: token.result.id, hosts: hosts.result };
}

/** An API token, or the code of a link from `freehold dash`. Throws `ApiFailure`. */
export async function signIn(credentials: { token: string } | { code: string }): Promise<void> {
  const response = await fetch("/session", {
    method: "POST",
    headers: { ...PAGE_HEADER, "content-type": "application/json" },
    body: JSON.stringify(credentials),
  });
  if (!response.ok) throw failureOf(response.status, await response.json().catch(() => undefined));
  current = undefined;
}

/** Ends the session and leaves for the sign-in page; nothing of the page's memory stays. */
export async function signOut(): Promise<void> {
  await fetch("/session", { method: "DELETE", headers: PAGE_HEADER });
  location.assign("/sign-in");
}

/** The URL of a host with its placeholders filled in; `{account}` is known. */
export function hostUrl(of: Session, name: string, params: Readonly<Record<string, string>> = {}): string {
  const template = of.hosts[name] ?? "";
  return template.replace(/\{(\w+)\}/g, (whole, key: string) => params[key] ?? (key === "account" ? of.accountId : whole));
}
