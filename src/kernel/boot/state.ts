/** The first stage: opens rows, bytes and records in flight, brings the tables up to date, and finds out who this installation is. */
import { join } from "node:path";
import { accountPermissions } from "../api/account-routes.ts";
import { type AuditLog, auditMigrations, openAuditLog } from "../api/audit.ts";
import { createAuth } from "../api/auth.ts";
import { type TokenStore, tokenMigrations, tokenStore } from "../api/tokens.ts";
import type { BlobStore } from "../blobs/blobs.ts";
import { openDirectoryBlobs } from "../blobs/directory.ts";
import { type BlobLeases, leaseMigrations, openBlobLeases } from "../blobs/leases.ts";
import { encryptionKey, type Identity, identity, identityMigrations, rootToken } from "../identity.ts";
import type { JournalStore } from "../journal/journal.ts";
import { openSegmentJournals } from "../journal/segments.ts";
import type { MetaStore } from "../meta/meta.ts";
import { openSqliteMeta } from "../meta/sqlite.ts";
import { migrate } from "../migrations.ts";
import type { Auth } from "../product.ts";
import { type SecretBox, secretBox } from "../secrets.ts";
import { type Boot, dataDirectory } from "./boot.ts";

export interface State {
  readonly meta: MetaStore;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  readonly journals: JournalStore;
  readonly secrets: SecretBox;
  readonly who: Identity;
  readonly tokens: TokenStore;
  readonly root: { readonly id: string; readonly value: string };
  readonly auth: Auth;
  readonly audit: AuditLog;
}

export async function openState(boot: Boot): Promise<State> {
  const { options, clock, order, onStop } = boot;
  const { config, log } = options;
  const secrets = secretBox(await encryptionKey(options.dataDirectory));
  const meta = await openSqliteMeta({ path: join(options.dataDirectory, "meta.sqlite") });
  onStop(() => meta.close());
  const sets = order.map((product) => ({ scope: product.name, migrations: product.migrations ?? [] }));
  await migrate(
    meta,
    [{ scope: "kernel", migrations: [...tokenMigrations, ...identityMigrations, ...leaseMigrations, ...auditMigrations] }, ...sets],
    clock,
  );
  const blobs = await openDirectoryBlobs({ directory: await dataDirectory(boot, "blobs") });
  const leases = await openBlobLeases(meta, blobs, log.scope("blobs"));
  const journals = await openSegmentJournals({
    directory: await dataDirectory(boot, "journal"),
    segmentBytes: config["journal.segment_bytes"],
    pendingMaxBytes: config["journal.pending_max_bytes"],
    log: log.scope("journal"),
  });
  onStop(() => journals.close());

  const who = await identity(meta, clock);
  const groups = [...accountPermissions, ...order.flatMap((product) => product.permissions ?? [])];
  const tokens = tokenStore(meta, secrets, clock, groups, who.accountId);
  const root = await rootToken(meta, secrets, tokens);
  const audit = openAuditLog(meta, clock, who.userId, config["audit.retention_days"]);
  return { meta, blobs, leases, journals, secrets, who, tokens, root, auth: createAuth(tokens), audit };
}
