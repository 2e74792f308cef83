/** `freehold token`: API tokens, and with each the S3 key pair that belongs to it. Talks REST like any client. */
import { createHash } from "node:crypto";
import { nearest } from "../kernel/nearest.ts";
import { type Args, CliError, type Command, usageError } from "./command.ts";
import { DEFAULT_DATA_DIRECTORY, type ReadyFile, runningPlatform } from "./data-directory.ts";
import { dataFlag, jsonFlag } from "./flags.ts";
import { callRest, listRest } from "./rest.ts";
import { paint, print, table } from "./terminal.ts";

const BUCKET_SCOPE = "com.cloudflare.edge.r2.bucket";

interface Group {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
}

interface Token {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly expires_on?: string;
  readonly last_used_on?: string;
  readonly policies?: readonly { readonly permission_groups: readonly { readonly id: string; readonly name?: string }[] }[];
}

const connect = (args: Args): ReadyFile => runningPlatform(args.text("data") ?? DEFAULT_DATA_DIRECTORY);
const tokensPath = (ready: ReadyFile): string => `/accounts/${ready.account_id}/tokens`;

const create: Command = {
  name: "token create",
  summary: "make an API token and its S3 key pair",
  flags: {
    name: { value: "NAME", doc: "what the token is for" },
    permission: { value: "GROUP", doc: 'a permission group, such as "Workers KV Storage Write"', repeat: true },
    bucket: { value: "BUCKET", doc: "limit R2 object permissions to this bucket" },
    ttl: { value: "TIME", doc: "how long it is valid: 90s, 30m, 12h, 7d (for ever)" },
    data: dataFlag,
    json: jsonFlag,
  },
  async run(args) {
    const name = args.text("name");
    const wanted = args.all("permission");
    if (name === undefined || wanted.length === 0) {
      throw usageError('A token needs a name and a permission: freehold token create --name ci --permission "Workers Scripts Write"');
    }
    const expiresOn = expiry(args.text("ttl"));
    const ready = connect(args);
    const groups = await permissionGroups(ready, wanted);
    const created = (
      await callRest(ready, "POST", tokensPath(ready), {
        name,
        policies: policies(ready, groups, args.text("bucket")),
        ...(expiresOn !== undefined && { expires_on: expiresOn }),
      })
    ).result as { id: string; value: string };
    const s3Secret = createHash("sha256").update(created.value).digest("hex");
    if (args.has("json")) {
      print(
        JSON.stringify({ id: created.id, value: created.value, s3: { access_key_id: created.id, secret_access_key: s3Secret } }, null, 2),
      );
      return 0;
    }
    print(`${paint("bold", "API token")}             ${created.value}`);
    print(`${paint("bold", "S3 access key id")}      ${created.id}`);
    print(`${paint("bold", "S3 secret access key")}  ${s3Secret}`);
    print(paint("dim", "Keep them now: the token and the secret are not shown again."));
    return 0;
  },
};

/** The groups of these names; an unknown one is refused with the nearest known one named. */
async function permissionGroups(ready: ReadyFile, names: readonly string[]): Promise<Group[]> {
  const known = (await listRest(ready, `${tokensPath(ready)}/permission_groups`)) as Group[];
  return names.map((name) => {
    const group = known.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
    if (group !== undefined) return group;
    const near = nearest(
      name,
      known.map((candidate) => candidate.name),
    );
    throw usageError(`There is no permission group "${name}". Did you mean "${near}"?`);
  });
}

/** Groups that apply to single buckets go on the bucket when one is named, all others on the account. */
function policies(ready: ReadyFile, groups: readonly Group[], bucket: string | undefined): unknown[] {
  const policy = (subset: readonly Group[], resource: string): unknown => ({
    effect: "allow",
    permission_groups: subset.map(({ id }) => ({ id })),
    resources: { [resource]: "*" },
  });
  const account = `com.cloudflare.api.account.${ready.account_id}`;
  if (bucket === undefined) return [policy(groups, account)];
  const onBucket = groups.filter((group) => group.scopes.includes(BUCKET_SCOPE));
  const onAccount = groups.filter((group) => !group.scopes.includes(BUCKET_SCOPE));
  if (onBucket.length === 0) {
    throw usageError('--bucket goes with a permission on buckets, such as --permission "Workers R2 Storage Bucket Item Write".');
  }
  return [
    policy(onBucket, `${BUCKET_SCOPE}.${ready.account_id}_default_${bucket}`),
    ...(onAccount.length > 0 ? [policy(onAccount, account)] : []),
  ];
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** The end of a token's life in the API's form, or undefined for no end. */
function expiry(ttl: string | undefined): string | undefined {
  if (ttl === undefined) return undefined;
  const match = /^(\d+)([smhd])$/.exec(ttl);
  if (match === null || Number(match[1]) === 0) throw usageError(`--ttl ${ttl} is not a time; write 90s, 30m, 12h or 7d.`);
  return new Date(Date.now() + Number(match[1]) * (UNIT_SECONDS[match[2] as string] as number) * 1000)
    .toISOString()
    .replace(/\.\d+Z$/, "Z");
}

const list: Command = {
  name: "token list",
  summary: "list API tokens",
  flags: { data: dataFlag, json: jsonFlag },
  async run(args) {
    const ready = connect(args);
    const tokens = (await listRest(ready, tokensPath(ready))) as Token[];
    if (args.has("json")) {
      print(JSON.stringify(tokens, null, 2));
      return 0;
    }
    if (tokens.length === 0) {
      print("There are no tokens yet; make one with `freehold token create`.");
      return 0;
    }
    const groupNames = (token: Token): string =>
      [...new Set((token.policies ?? []).flatMap((policy) => policy.permission_groups.map((group) => group.name ?? group.id)))].join(", ");
    print(
      table(
        ["ID", "NAME", "STATUS", "EXPIRES", "PERMISSIONS"],
        tokens.map((token) => [token.id, token.name, token.status, token.expires_on ?? "never", groupNames(token)]),
        { keep: ["ID"] },
      ),
    );
    return 0;
  },
};

const revoke: Command = {
  name: "token revoke",
  summary: "end a token at once, with its S3 keys",
  positionals: "ID",
  flags: { data: dataFlag },
  async run(args) {
    const [id, ...more] = args.rest;
    if (id === undefined || more.length > 0)
      throw usageError("Name one token by its id: freehold token revoke ID (`freehold token list` shows them).");
    if (!/^[0-9a-f]{32}$/.test(id))
      throw new CliError(`"${id}" is not a token's id, which has 32 hex digits; \`freehold token list\` shows them.`);
    const ready = connect(args);
    await callRest(ready, "DELETE", `${tokensPath(ready)}/${id}`);
    print(`Revoked ${id}.`);
    return 0;
  },
};

export const tokenCommands: readonly Command[] = [create, list, revoke];
