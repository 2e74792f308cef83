/** AI Gateway's tables. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-gateways",
    sql: `
      CREATE TABLE ai_gateway_gateways (
        id TEXT PRIMARY KEY,             -- as its user named it
        settings TEXT NOT NULL,          -- JSON: see gateways.ts
        created_at INTEGER NOT NULL,     -- milliseconds since the epoch, as all times
        modified_at INTEGER NOT NULL
      );
      CREATE TABLE ai_gateway_providers (
        id TEXT PRIMARY KEY,             -- UUID
        slug TEXT NOT NULL UNIQUE,
        content TEXT NOT NULL,           -- JSON: see custom-providers.ts
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL
      );
      CREATE TABLE ai_gateway_keys (
        id TEXT PRIMARY KEY,
        gateway TEXT NOT NULL,
        provider TEXT NOT NULL,
        alias TEXT NOT NULL,
        default_config INTEGER NOT NULL,
        sealed TEXT NOT NULL,
        preview TEXT NOT NULL,
        modified_at INTEGER NOT NULL,
        UNIQUE (gateway, provider, alias)
      );
      CREATE TABLE ai_gateway_logs (
        id TEXT PRIMARY KEY,             -- ULID: in the order of time
        gateway TEXT NOT NULL,
        event_id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        path TEXT NOT NULL,
        request_type TEXT NOT NULL,
        duration INTEGER NOT NULL,       -- milliseconds
        success INTEGER NOT NULL,
        status_code INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        step INTEGER NOT NULL,
        tokens_in INTEGER,
        tokens_out INTEGER,
        cost REAL,
        custom_cost INTEGER NOT NULL,
        metadata TEXT,                   -- JSON
        feedback INTEGER,
        score INTEGER,
        authentication INTEGER NOT NULL,
        user_agent TEXT NOT NULL,
        request_content_type TEXT NOT NULL,
        response_content_type TEXT NOT NULL,
        request_size INTEGER NOT NULL,   -- bytes
        response_size INTEGER NOT NULL,
        bodies TEXT                      -- blob: the request's body, then the response's; NULL when they were not kept
      );
      CREATE INDEX ai_gateway_logs_gateway ON ai_gateway_logs (gateway, id);
    `,
  },
  {
    name: "0002-routes",
    sql: `
      CREATE TABLE ai_gateway_routes (
        id TEXT PRIMARY KEY,             -- UUID, as the others
        gateway TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL,
        UNIQUE (gateway, name)
      );
      CREATE TABLE ai_gateway_route_versions (
        number INTEGER PRIMARY KEY,      -- order of making
        id TEXT NOT NULL UNIQUE,
        route TEXT NOT NULL,
        elements TEXT NOT NULL,          -- JSON: see route-graph.ts
        created_at INTEGER NOT NULL
      );
      CREATE INDEX ai_gateway_route_versions_route ON ai_gateway_route_versions (route, number);
      CREATE TABLE ai_gateway_deployments (
        number INTEGER PRIMARY KEY,      -- the highest of a route is in effect
        id TEXT NOT NULL UNIQUE,
        route TEXT NOT NULL,
        version TEXT NOT NULL,
        created_at INTEGER NOT NULL
      );
      CREATE INDEX ai_gateway_deployments_route ON ai_gateway_deployments (route, number);
      -- Small bodies of logs: the request's, then the response's.
      CREATE TABLE ai_gateway_bodies (
        log TEXT PRIMARY KEY,
        bytes BLOB NOT NULL
      );
    `,
  },
  {
    name: "0003-requests",
    sql: `
      CREATE TABLE ai_gateway_requests (
        minute INTEGER NOT NULL,         -- its start, in milliseconds since the epoch
        gateway TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        cached INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL,
        cost INTEGER NOT NULL,           -- in billionths of a dollar
        PRIMARY KEY (minute, gateway, provider, model, cached, failed)
      );
    `,
  },
];
