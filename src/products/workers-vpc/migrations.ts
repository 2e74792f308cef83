/** Tables of Workers VPC. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-tunnels-and-services",
    sql: `
      CREATE TABLE workers_vpc_tunnels (
        id TEXT PRIMARY KEY,             -- UUID
        name TEXT NOT NULL UNIQUE,
        config_src TEXT NOT NULL,        -- "cloudflare" or "local"
        sealed TEXT NOT NULL,            -- the secret of the tunnel's token; opens for this id alone
        created_at INTEGER NOT NULL,     -- milliseconds since the epoch, as all times here
        active_at INTEGER,               -- a first connector came
        inactive_at INTEGER              -- the last connector went
      );
      CREATE TABLE workers_vpc_services (
        id TEXT PRIMARY KEY,             -- UUID
        name TEXT NOT NULL UNIQUE,
        tunnel_id TEXT NOT NULL,
        settings TEXT NOT NULL,          -- JSON: ServiceSettings
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
      );
    `,
  },
];
