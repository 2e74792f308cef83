import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { systemClock } from "../clock.ts";
import { openSqliteMeta } from "../meta/sqlite.ts";
import { migrate } from "../migrations.ts";
import { secretBox } from "../secrets.ts";
import { type Policy, tokenMigrations, tokenStore } from "./tokens.ts";

const ACCOUNT = "0123456789abcdef0123456789abcdef";
const group = (name: string, i: number, scope: string) => ({ id: String(i).padStart(32, "0"), name, scopes: [scope] });
const groups = [
  ...["X Read", "X Write", "Y Edit"].map((name, i) => group(name, i, "com.cloudflare.api.account")),
  group("Item Read", 3, "com.cloudflare.edge.r2.bucket"),
];

async function open(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "freehold-tokens-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.sqlite") });
  t.after(async () => {
    await meta.close();
    rmSync(directory, { recursive: true });
  });
  await migrate(meta, [{ scope: "kernel", migrations: tokenMigrations }], systemClock);
  let now = 1_000_000;
  const tokens = tokenStore(meta, secretBox(randomBytes(32)), { now: () => now }, groups, ACCOUNT);
  const policy = (name: string, resource: string, effect: "allow" | "deny" = "allow"): Policy => ({
    effect,
    permission_groups: [{ id: groups.find((g) => g.name === name)?.id ?? "" }],
    resources: { [resource]: "*" },
  });
  return { directory, tokens, policy, advance: (ms: number) => (now += ms) };
}

test("a token verifies until it is revoked or expires", async (t) => {
  const { tokens, policy, advance } = await open(t);
  const { token, value } = await tokens.create("ci", [policy("X Read", "*")], { expiresOn: 1_000_500 });
  assert.equal((await tokens.verify(value)).tokenId, token.id);
  advance(500);
  await assert.rejects(tokens.verify(value), { code: "platform.invalidToken" });
  assert.equal(await tokens.accessKey(token.id), undefined);
  const lasting = await tokens.create("lasting", [policy("X Read", "*")]);
  await tokens.verify(lasting.value);
  assert.equal(await tokens.revoke(lasting.token.id), true);
  await assert.rejects(tokens.verify(lasting.value), { code: "platform.invalidToken" });
  assert.equal(await tokens.revoke(lasting.token.id), false);
});

test("writing includes reading, policies hold for their resources, and deny wins", async (t) => {
  const { tokens, policy } = await open(t);
  const bucket = `com.cloudflare.edge.r2.bucket.${ACCOUNT}_default_a`;
  const can = async (policies: Policy[], group: string, resource?: string) =>
    (await tokens.verify((await tokens.create("t", policies)).value)).can(group, resource);
  assert.equal(await can([policy("X Write", "*")], "X Read"), true);
  assert.equal(await can([policy("Y Edit", "*")], "Y Read"), true);
  assert.equal(await can([policy("X Read", "*")], "X Write"), false);
  assert.equal(await can([policy("X Read", bucket)], "X Read", bucket), true);
  assert.equal(await can([policy("X Read", bucket)], "X Read", `${bucket}b`), false);
  // Without a resource the question is about the account: only groups for buckets have a part of it by a bucket.
  assert.equal(await can([policy("X Read", bucket)], "X Read"), false);
  assert.equal(await can([policy("Item Read", bucket)], "Item Read"), true);
  const elsewhere = "f".repeat(32);
  for (const resource of [`com.cloudflare.api.account.${elsewhere}`, `com.cloudflare.edge.r2.bucket.${elsewhere}_default_a`, "zone"])
    for (const name of ["X Read", "Item Read"]) assert.equal(await can([policy(name, resource)], name), false, `${name} on ${resource}`);
  assert.equal(await can([policy("X Read", `com.cloudflare.api.account.${ACCOUNT}`)], "X Read", bucket), true);
  assert.equal(await can([policy("X Read", "*"), policy("X Read", bucket, "deny")], "X Read", bucket), false);
});

test("the S3 secret is the documented hash of the value, and neither lies readable on disk", async (t) => {
  const { directory, tokens, policy } = await open(t);
  const { token, value } = await tokens.create("s3", [policy("X Read", "*")]);
  const secret = createHash("sha256").update(value).digest("hex");
  assert.equal((await tokens.accessKey(token.id))?.secretAccessKey, secret);
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(join(directory, name));
    assert.ok(!bytes.includes(value) && !bytes.includes(secret), name);
  }
});
