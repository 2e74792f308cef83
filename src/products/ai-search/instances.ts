/**
 * The account's namespaces and instances: rows in meta, mirrored in memory, because every query asks for its instance. All
 * changes go through this object, so the mirror is the table. What an instance has indexed belongs to its `uid`, which a later
 * instance of its name does not get.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { SecretBox } from "../../kernel/secrets.ts";
import type { InstanceConfig } from "./config-input.ts";
import { searchError } from "./errors.ts";

export const DEFAULT_NAMESPACE = "default";
const NAMESPACES_MAX = 1000;
const PURPOSE = "ai-search.crawler-headers";

export interface Instance {
  /** 32 hex digits. */
  readonly uid: string;
  readonly namespace: string;
  readonly id: string;
  readonly config: InstanceConfig;
  readonly createdAt: number;
  readonly modifiedAt: number;
  /** When the last job was made. */
  readonly syncedAt: number;
}

export interface Namespace {
  readonly name: string;
  readonly description: string | null;
  readonly createdAt: number;
}

interface InstanceRow extends Record<string, string | number | null> {
  uid: string;
  namespace: string;
  id: string;
  config: string;
  secrets: string | null;
  created_at: number;
  modified_at: number;
  synced_at: number;
}

type Headers = Readonly<Record<string, string>>;

/** Headers for the crawler may be passwords: they are kept sealed, and hidden in every answer. */
function split(config: InstanceConfig): { readonly shown: InstanceConfig; readonly headers: Headers | undefined } {
  const options = config.source_params?.web_crawler?.parse_options;
  const headers = options?.include_headers;
  if (headers === undefined || Object.keys(headers).length === 0) return { shown: config, headers: undefined };
  const hidden = Object.fromEntries(Object.keys(headers).map((name) => [name, "[redacted]"]));
  const shown = {
    ...config,
    source_params: {
      ...config.source_params,
      web_crawler: { ...config.source_params?.web_crawler, parse_options: { ...options, include_headers: hidden } },
    },
  };
  return { shown, headers };
}

export type Instances = Awaited<ReturnType<typeof openInstances>>;

export async function openInstances(meta: MetaStore, clock: Clock, secrets: SecretBox, max: number) {
  const namespaces = new Map<string, Namespace>();
  const byName = new Map<string, Instance>();
  const byUid = new Map<string, Instance>();
  const nameOf = (namespace: string, id: string): string => `${namespace}/${id}`;

  const keep = (instance: Instance): Instance => {
    byName.set(nameOf(instance.namespace, instance.id), instance);
    byUid.set(instance.uid, instance);
    return instance;
  };

  const now = clock.now();
  await meta.run(
    "INSERT INTO ai_search_namespaces (name, description, created_at) VALUES (?, NULL, ?) ON CONFLICT (name) DO NOTHING",
    ...[DEFAULT_NAMESPACE, now],
  );
  for (const row of await meta.all<{ name: string; description: string | null; created_at: number }>("SELECT * FROM ai_search_namespaces"))
    namespaces.set(row.name, { name: row.name, description: row.description, createdAt: row.created_at });
  for (const row of await meta.all<InstanceRow>("SELECT * FROM ai_search_instances ORDER BY created_at, uid"))
    keep({
      ...{ uid: row.uid, namespace: row.namespace, id: row.id, config: JSON.parse(row.config) as InstanceConfig },
      ...{ createdAt: row.created_at, modifiedAt: row.modified_at, syncedAt: row.synced_at },
    });

  function require(namespace: string, id: string): Instance {
    const found = byName.get(nameOf(namespace, id));
    if (found === undefined) throw searchError("instanceNotFound");
    return found;
  }

  function requireNamespace(name: string): Namespace {
    const found = namespaces.get(name);
    if (found === undefined) throw searchError("namespaceNotFound");
    return found;
  }

  return {
    list: (namespace?: string): Instance[] => [...byUid.values()].filter((one) => namespace === undefined || one.namespace === namespace),
    byUid: (uid: string): Instance | undefined => byUid.get(uid),
    /** Throws `aiSearch.instanceNotFound`. */
    require,
    requireNamespace,
    namespaces: (): Namespace[] => [...namespaces.values()],

    async create(namespace: string, id: string, config: InstanceConfig): Promise<Instance> {
      requireNamespace(namespace);
      if (byName.has(nameOf(namespace, id))) throw searchError("instanceExists");
      const at = clock.now();
      const { shown, headers } = split(config);
      const instance: Instance = {
        ...{ uid: randomBytes(16).toString("hex"), namespace, id, config: shown, createdAt: at, modifiedAt: at, syncedAt: at },
      };
      const { changes } = await meta.run(
        `INSERT INTO ai_search_instances (uid, namespace, id, config, secrets, created_at, modified_at, synced_at)
         SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM ai_search_instances) < ?
           AND EXISTS (SELECT 1 FROM ai_search_namespaces WHERE name = ?) ON CONFLICT (namespace, id) DO NOTHING`,
        ...[
          instance.uid,
          namespace,
          id,
          JSON.stringify(shown),
          headers ? secrets.seal(JSON.stringify(headers), PURPOSE) : null,
          at,
          at,
          at,
        ],
        ...[max, namespace],
      );
      // Two requests may have passed the check together.
      if (changes === 0) {
        requireNamespace(namespace);
        if (byUid.size >= max) throw searchError("tooMany", `The account's limit of ${max} AI Search instances is reached`);
        throw searchError("instanceExists");
      }
      return keep(instance);
    },
    async update(old: Instance, config: InstanceConfig): Promise<Instance> {
      const { shown, headers } = split(config);
      const at = clock.now();
      // Headers that come back as they were shown stay what they are.
      const kept = headers !== undefined && Object.values(headers).every((value) => value === "[redacted]");
      const sealed = headers === undefined ? null : secrets.seal(JSON.stringify(headers), PURPOSE);
      if (kept)
        await meta.run("UPDATE ai_search_instances SET config = ?, modified_at = ? WHERE uid = ?", ...[JSON.stringify(shown), at, old.uid]);
      else
        await meta.run(
          "UPDATE ai_search_instances SET config = ?, secrets = ?, modified_at = ? WHERE uid = ?",
          ...[JSON.stringify(shown), sealed, at, old.uid],
        );
      return keep({ ...(byUid.get(old.uid) ?? old), config: shown, modifiedAt: at });
    },
    /** Noted with the job that is made in the same moment. */
    noteSync(uid: string, at: number): void {
      const instance = byUid.get(uid);
      if (instance !== undefined) keep({ ...instance, syncedAt: at });
    },
    /** Headers that the crawler sends to the instance's site. */
    async headers(uid: string): Promise<Headers> {
      const row = await meta.get<{ secrets: string | null }>("SELECT secrets FROM ai_search_instances WHERE uid = ?", uid);
      return row?.secrets ? (JSON.parse(secrets.open(row.secrets, PURPOSE)) as Headers) : {};
    },
    /** Gone for every reader when it resolves; its file is the caller's to delete. */
    async remove(instance: Instance): Promise<void> {
      byName.delete(nameOf(instance.namespace, instance.id));
      byUid.delete(instance.uid);
      try {
        await meta.transaction(async (tx) => {
          await tx.run("DELETE FROM ai_search_instances WHERE uid = ?", instance.uid);
          await tx.run("DELETE FROM ai_search_job_logs WHERE job IN (SELECT id FROM ai_search_jobs WHERE instance = ?)", instance.uid);
          await tx.run("DELETE FROM ai_search_jobs WHERE instance = ?", instance.uid);
          await tx.run("DELETE FROM ai_search_queries WHERE instance = ?", instance.uid);
          await tx.run("DELETE FROM ai_search_retrievals WHERE instance = ?", instance.uid);
        });
      } catch (error) {
        keep(instance);
        throw error;
      }
    },

    async createNamespace(name: string, description: string | null): Promise<Namespace> {
      if (namespaces.size >= NAMESPACES_MAX) throw searchError("tooMany", `The account's limit of ${NAMESPACES_MAX} namespaces is reached`);
      const createdAt = clock.now();
      const { changes } = await meta.run(
        "INSERT INTO ai_search_namespaces (name, description, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
        ...[name, description, createdAt],
      );
      if (changes === 0) throw searchError("namespaceExists");
      const namespace: Namespace = { name, description, createdAt };
      namespaces.set(name, namespace);
      return namespace;
    },
    async describeNamespace(name: string, description: string | null): Promise<Namespace> {
      const namespace = { ...requireNamespace(name), description };
      await meta.run("UPDATE ai_search_namespaces SET description = ? WHERE name = ?", description, name);
      namespaces.set(name, namespace);
      return namespace;
    },
    async removeNamespace(name: string): Promise<void> {
      requireNamespace(name);
      if (name === DEFAULT_NAMESPACE) throw searchError("invalid", "The namespace default cannot be deleted");
      const { changes } = await meta.run(
        "DELETE FROM ai_search_namespaces WHERE name = ? AND NOT EXISTS (SELECT 1 FROM ai_search_instances WHERE namespace = ?)",
        ...[name, name],
      );
      if (changes === 0) throw searchError("namespaceInUse");
      namespaces.delete(name);
    },
  };
}
