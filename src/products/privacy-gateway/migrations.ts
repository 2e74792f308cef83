import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-requests",
    sql: `
      CREATE TABLE privacy_gateway_requests (
        at INTEGER NOT NULL,
        endpoint TEXT NOT NULL,           -- the application
        relay_status INTEGER NOT NULL,
        gateway_status INTEGER NOT NULL,  -- 0: no answer
        to_gateway INTEGER NOT NULL,      -- bytes
        to_client INTEGER NOT NULL
      );
      CREATE INDEX privacy_gateway_requests_at ON privacy_gateway_requests (at);
    `,
  },
];
