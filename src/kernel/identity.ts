/**
 * Who this installation is: account, user, root token, encryption key. Made at the first start, the same ever after.
 */
import { randomBytes } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { TokenStore } from "./api/tokens.ts";
import type { Clock } from "./clock.ts";
import { syncDirectory } from "./durable-files.ts";
import type { MetaStore, Migration } from "./meta/meta.ts";
import type { SecretBox } from "./secrets.ts";

export const identityMigrations: readonly Migration[] = [
  { name: "0002-settings", sql: "CREATE TABLE kernel_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)" },
];

export interface Identity {
  readonly accountId: string;
  readonly userId: string;
  readonly createdAt: number;
}

export async function identity(meta: MetaStore, clock: Clock): Promise<Identity> {
  const fresh: Record<string, string> = {
    account_id: randomBytes(16).toString("hex"),
    user_id: randomBytes(16).toString("hex"),
    created_at: String(clock.now()),
  };
  await meta.transaction(async (tx) => {
    for (const [name, value] of Object.entries(fresh)) {
      await tx.run("INSERT INTO kernel_settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, value);
    }
  });
  const rows = await meta.all<{ name: string; value: string }>("SELECT name, value FROM kernel_settings");
  const settings = Object.fromEntries(rows.map((row) => [row.name, row.value]));
  return { accountId: settings.account_id as string, userId: settings.user_id as string, createdAt: Number(settings.created_at) };
}

/**
 * The root token, which may do everything: `exec` and the ready file carry it. Its value is kept sealed; when it was
 * revoked, a new one is made at the next start.
 */
export async function rootToken(meta: MetaStore, secrets: SecretBox, tokens: TokenStore): Promise<{ id: string; value: string }> {
  const purpose = "kernel.root-token";
  const stored = await meta.get<{ value: string }>("SELECT value FROM kernel_settings WHERE name = 'root_token'");
  if (stored !== undefined) {
    const root = JSON.parse(secrets.open(stored.value, purpose)) as { id: string; value: string };
    if ((await tokens.get(root.id)) !== undefined) return root;
  }
  const everything = [
    { effect: "allow" as const, permission_groups: tokens.groups().map(({ id, name }) => ({ id, name })), resources: { "*": "*" } },
  ];
  const { token, value } = await tokens.create("root", everything);
  const root = { id: token.id, value };
  await meta.run(
    "INSERT INTO kernel_settings (name, value) VALUES ('root_token', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    secrets.seal(JSON.stringify(root), purpose),
  );
  return root;
}

/** The key that encrypts secrets at rest: its own file, readable by the owner alone, never in the database or a backup of it. */
export async function encryptionKey(dataDirectory: string): Promise<Buffer> {
  const path = join(dataDirectory, "secret.key");
  try {
    return Buffer.from((await readFile(path, "utf8")).trim(), "hex");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const key = randomBytes(32);
  // Whole and durable under its name before anything is sealed with it: what is sealed under a lost key is lost.
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(`${key.toString("hex")}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  await syncDirectory(dataDirectory);
  return key;
}
