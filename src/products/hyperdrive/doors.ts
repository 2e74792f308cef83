/**
 * Where Workers' connections arrive: one unix socket for each configuration that is bound, which only processes know that
 * bind it, and behind it the configuration's pool. A password of the platform's own, new at each start, is asked for there;
 * the database's own password never leaves this process but towards the database.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Backend, Origin, QueryEvent } from "./backend.ts";
import { isMysql } from "./config-input.ts";
import type { HyperdriveConfig } from "./configs.ts";
import type { DatabaseAddress } from "./dial.ts";
import { mysqlDoor } from "./mysql/door.ts";
import { openPool, type Pool } from "./pool.ts";
import { postgresDoor } from "./postgres/door.ts";
import { type CacheRules, openQueryCache } from "./query-cache.ts";

/** What a protocol makes of a configuration's connections. */
export interface Protocol<T extends Origin> {
  connect(address: DatabaseAddress, now: () => number): Promise<T>;
  /** Serves a Worker's connection to its end. Rejects for none. */
  serve(client: Socket, backend: Backend<T>): Promise<void>;
}

export interface Door {
  /** "unix:…" */
  readonly path: string;
  readonly password: string;
}

export interface Doors {
  /** The door of a configuration; made on first use. */
  open(config: HyperdriveConfig): Promise<Door>;
  /** An address at which nobody listens. */
  readonly nowhere: string;
  /** New connections to the database are made as the configuration says now. */
  changed(config: HyperdriveConfig): void;
  /** The pool's connections are replaced. */
  restart(id: string): void;
  remove(id: string): void;
  close(): Promise<void>;
}

interface Opened extends Door {
  config: HyperdriveConfig;
  readonly pool: Pool<Origin>;
  readonly server: Server;
  readonly clients: Set<Socket>;
}

export interface DoorsOptions {
  readonly kernel: Pick<KernelSlice, "clock" | "config" | "log">;
  address(config: HyperdriveConfig): Promise<DatabaseAddress>;
  count(configId: string, event: QueryEvent): void;
}

export async function openDoors({ kernel, address, count }: DoorsOptions): Promise<Doors> {
  const { clock, config: limits, log } = kernel;
  // Under the temporary directory, because a socket's path may have at most 107 bytes; mkdtemp makes it private.
  const directory = await mkdtemp(join(tmpdir(), "freehold-hyperdrive-"));
  const doors = new Map<string, Promise<Opened>>();
  const cache = openQueryCache(clock, {
    bytesMax: limits["hyperdrive.cache_max_bytes"],
    resultBytesMax: limits["hyperdrive.result_max_bytes"],
  });

  async function make(config: HyperdriveConfig): Promise<Opened> {
    const protocol = protocolOf(config);
    const clients = new Set<Socket>();
    const password = randomBytes(24).toString("base64url");
    const path = join(directory, `${randomBytes(8).toString("hex")}.sock`);
    const pool = openPool<Origin>({
      clock,
      limit: () => opened.config.origin_connection_limit ?? limits["hyperdrive.connections_default"],
      connect: async () => protocol.connect(await address(opened.config), () => performance.now()),
      acquireTimeoutMs: limits["hyperdrive.acquire_timeout_ms"],
      idleTimeoutMs: limits["hyperdrive.idle_timeout_ms"],
    });
    const backend: Backend<Origin> = {
      configId: config.id,
      user: config.origin.user,
      database: config.origin.database,
      password,
      pool,
      cache,
      clock,
      log,
      queryTimeoutMs: limits["hyperdrive.query_timeout_ms"],
      cacheRules: () => rulesOf(opened.config),
      count: (event) => count(config.id, event),
    };
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
      clients.add(client);
      client.once("close", () => clients.delete(client));
      // Whoever serves it hears of its close.
      client.on("error", () => client.destroy());
      client.resume();
      protocol.serve(client, backend).catch((error: unknown) => {
        log.error("hyperdrive.serve_failed", { config: config.id, error });
        client.destroy();
      });
    });
    const opened: Opened = { config, pool, server, clients, path: `unix:${path}`, password };
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    return opened;
  }

  function end({ server, clients, pool }: Opened): Promise<void> {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const client of clients) client.destroy();
    pool.close();
    return closed;
  }

  return {
    nowhere: `unix:${join(directory, "nowhere.sock")}`,
    open(config) {
      const known = doors.get(config.id) ?? make(config);
      doors.set(config.id, known);
      return known;
    },
    changed(config) {
      void doors.get(config.id)?.then((opened) => {
        const moved = connectionOf(opened.config) !== connectionOf(config);
        opened.config = config;
        if (moved) opened.pool.retire();
      });
    },
    restart: (id) => void doors.get(id)?.then(({ pool }) => pool.retire()),
    remove(id) {
      const door = doors.get(id);
      doors.delete(id);
      cache.forget(id);
      void door?.then(end);
    },
    async close() {
      const all = await Promise.allSettled(doors.values());
      doors.clear();
      await Promise.all(all.map((door) => door.status === "fulfilled" && end(door.value)));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export const protocolOf = ({ origin }: HyperdriveConfig): Protocol<Origin> =>
  (isMysql(origin.scheme) ? mysqlDoor() : postgresDoor()) as unknown as Protocol<Origin>;

/** What connections are to, without the password: connections that were made with an old one go on. */
const connectionOf = ({ origin, mtls }: HyperdriveConfig): string => JSON.stringify([origin, mtls]);

function rulesOf({ caching }: HyperdriveConfig): CacheRules | undefined {
  return caching.disabled ? undefined : { maxAgeMs: caching.max_age * 1000, staleMs: caching.stale_while_revalidate * 1000 };
}
