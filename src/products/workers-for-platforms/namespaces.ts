/**
 * Dispatch namespaces: rows, and all of them in memory, since each call of a user Worker asks. They are few (production and
 * staging, as the documentation advises); what lies in them is the Workers product's.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { platformsError } from "./errors.ts";

export interface Namespace {
  /** UUID; stays when the name changes. */
  readonly id: string;
  readonly name: string;
  /** Its Workers have `request.cf`, and share one cache. */
  readonly trusted: boolean;
  readonly createdOn: number;
  readonly modifiedOn: number;
}

interface Row {
  id: string;
  name: string;
  trusted: number;
  created_on: number;
  modified_on: number;
}

export interface Namespaces {
  all(): Namespace[];
  find(name: string): Namespace | undefined;
  byId(id: string): Namespace | undefined;
  /** Throws `workers-for-platforms.notFound`. */
  require(name: string): Namespace;
  create(name: string, trusted: boolean): Promise<Namespace>;
  update(name: string, change: { name?: string | undefined; trusted?: boolean | undefined }): Promise<Namespace>;
  remove(id: string): Promise<void>;
}

const NAME = /^[a-z0-9_][a-z0-9_-]{0,62}$/;

export async function openNamespaces(meta: MetaStore, clock: Clock, countMax: number): Promise<Namespaces> {
  const byName = new Map<string, Namespace>();
  const byId = new Map<string, Namespace>();
  for (const row of await meta.all<Row>("SELECT * FROM workers_for_platforms_namespaces ORDER BY name LIMIT 100000"))
    keep(namespaceOf(row));

  function keep(namespace: Namespace): void {
    byName.set(namespace.name, namespace);
    byId.set(namespace.id, namespace);
  }

  function required(name: string): Namespace {
    const namespace = byName.get(name);
    if (namespace === undefined) throw platformsError("notFound", `The dispatch namespace "${name}" does not exist on your account.`);
    return namespace;
  }

  function checkFree(name: string): void {
    if (!NAME.test(name)) throw platformsError("invalidName");
    if (byName.has(name)) throw platformsError("exists");
  }

  return {
    all: () => [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    find: (name) => byName.get(name),
    byId: (id) => byId.get(id),
    require: required,
    async create(name, trusted) {
      checkFree(name);
      if (byName.size >= countMax) throw platformsError("tooMany");
      const now = clock.now();
      const namespace: Namespace = { id: randomUUID(), name, trusted, createdOn: now, modifiedOn: now };
      const { changes } = await meta.run(
        `INSERT INTO workers_for_platforms_namespaces (id, name, trusted, created_on, modified_on) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING`,
        namespace.id,
        name,
        Number(trusted),
        now,
        now,
      );
      if (changes === 0) throw platformsError("exists");
      keep(namespace);
      return namespace;
    },
    async update(name, change) {
      const old = required(name);
      const renamed = change.name ?? name;
      if (renamed !== name) checkFree(renamed);
      const namespace: Namespace = { ...old, name: renamed, trusted: change.trusted ?? old.trusted, modifiedOn: clock.now() };
      await meta.run(
        "UPDATE workers_for_platforms_namespaces SET name = ?, trusted = ?, modified_on = ? WHERE id = ?",
        namespace.name,
        Number(namespace.trusted),
        namespace.modifiedOn,
        old.id,
      );
      byName.delete(name);
      keep(namespace);
      return namespace;
    },
    async remove(id) {
      await meta.run("DELETE FROM workers_for_platforms_namespaces WHERE id = ?", id);
      byName.delete(byId.get(id)?.name ?? "");
      byId.delete(id);
    },
  };
}

const namespaceOf = (row: Row): Namespace => ({
  id: row.id,
  name: row.name,
  trusted: row.trusted === 1,
  createdOn: row.created_on,
  modifiedOn: row.modified_on,
});
