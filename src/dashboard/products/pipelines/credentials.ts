/** Credentials for a new sink: an API token of its own, made for it with no more rights than writing needs. */
import { onAccount } from "../../platform/rest.ts";
import { session } from "../../platform/session.ts";

interface Group {
  readonly id: string;
  readonly name: string;
}

export interface SinkToken {
  readonly id: string;
  readonly value: string;
}

const GROUPS = ["Workers R2 Storage Write", "Workers R2 Data Catalog Write"];

/** Without TLS a browser gives pages no cryptography, except on this machine's own names; the S3 secret is a hash. */
export const canDerive = (): boolean => crypto.subtle !== undefined;

/** Throws `ApiFailure`: only who may make tokens can. */
export async function createSinkToken(sink: string): Promise<SinkToken> {
  const { accountId } = await session();
  const { result: groups } = await onAccount<Group[]>("/tokens/permission_groups");
  const permission_groups = groups.filter(({ name }) => GROUPS.includes(name)).map(({ id }) => ({ id }));
  const body = {
    name: `Pipelines sink ${sink}`,
    policies: [{ effect: "allow", permission_groups, resources: { [`com.cloudflare.api.account.${accountId}`]: "*" } }],
  };
  return (await onAccount<SinkToken>("/tokens", { method: "POST", body })).result;
}

/** The S3 key pair that belongs to a token. */
export async function s3Keys({ id, value }: SinkToken): Promise<{ access_key_id: string; secret_access_key: string }> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value));
  const secret = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { access_key_id: id, secret_access_key: secret };
}
