/**
 * Namespaces: which class of which script they belong to, and under which stable id their objects lie. The rows change
 * only inside the transaction that makes a version current.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { ClassLifecycle, DurableObjects, ScriptRef } from "../../kernel/capabilities.ts";
import type { MetaReader } from "../../kernel/meta/meta.ts";
import type { ObjectSplit } from "../../kernel/object-split.ts";
import type { KernelSlice, WorkerdParts, WorkerRef } from "../../kernel/product.ts";
import type { Service } from "../../kernel/workerd/config.ts";
import type { Arrangement } from "./arrangement.ts";
import { type PendingTransfer, planOfExports, type Reconciliation, type Surroundings, scriptsOfExports } from "./class-exports.ts";
import { applyMigrations, type ClassState, type MigrationResult, transferSources } from "./class-migrations.ts";
import { durableObjectsError } from "./errors.ts";
import { dropAlarm, earliestAlarm } from "./files.ts";
import { namespaceBinding, namespaceParts, partKeys } from "./jurisdictions.ts";
import { limitingModules, type ObjectLimits } from "./main-module.ts";
import type { Recovery } from "./recovery.ts";
import { objectsParts, resetObjects, STAND_IN, standInService, standIns } from "./remote.ts";
import { RECOVERY_BINDING } from "./remote-protocol.worker.ts";
import type { Usage } from "./usage.ts";

export interface NamespaceRow {
  readonly id: string;
  readonly script_id: string;
  readonly script_name: string;
  readonly class_name: string;
  readonly sqlite: number;
  readonly created_on: number;
}

export interface Namespaces {
  readonly capability: DurableObjects;
  /** The namespace of a class by its name in the script, or by a name that it had there before. */
  find(scriptName: string, className: string): Promise<NamespaceRow | undefined>;
  byId(id: string): Promise<NamespaceRow | undefined>;
  /** The binding of a class of the Worker itself; `namespaceId` is undefined for one that an upload would make. */
  ownBinding(name: string, className: string, namespaceId: string | undefined, worker: WorkerRef): WorkerdParts;
  /**
   * Runs `work` with the sockets of the process that has the namespace's objects, started if needed; of several until it
   * resolves with something.
   */
  inside<T>(row: NamespaceRow, work: (socket: (name: string) => string) => Promise<T | undefined>): Promise<T>;
}

/** What an upload makes of a script's classes. */
interface Applied extends MigrationResult {
  /** Classes that another script has from now on. */
  readonly given: readonly (ClassState & { readonly id: string; readonly to: string })[];
  /** What the script expects of others. */
  readonly expected: readonly PendingTransfer[];
  readonly reconciliation?: Reconciliation;
}

/** Name of the disk service that holds the objects, in every process that has some. */
const STORAGE_SERVICE = "durable-objects";
const RESET_TIMEOUT_MS = 2000;

export async function openNamespaces(
  kernel: KernelSlice,
  arrangement: Arrangement,
  recovery: Recovery,
  usage: Pick<Usage, "collect">,
): Promise<Namespaces> {
  const { meta, clock, config } = kernel;
  const limits: ObjectLimits = {
    objectMax: config["durable_objects.object_max_bytes"],
    valueMax: config["durable_objects.value_max_bytes"],
    load: { callsMax: config["durable_objects.calls_max"], callsPerWindowMax: config["durable_objects.calls_per_10_s_max"] },
  };

  const rowsOf = (reader: MetaReader, script: ScriptRef): Promise<NamespaceRow[]> =>
    reader.all<NamespaceRow & Record<string, never>>(
      "SELECT * FROM durable_objects_namespaces WHERE script_id = ? AND deleted_on IS NULL ORDER BY created_on, id LIMIT 1000",
      script.id,
    );

  async function find(scriptName: string, className: string): Promise<NamespaceRow | undefined> {
    const [row] = await meta.all<NamespaceRow & Record<string, never>>(
      `SELECT * FROM durable_objects_namespaces WHERE script_name = ?1 AND class_name = ?2 AND deleted_on IS NULL
       UNION ALL
       SELECT n.* FROM durable_objects_moved m JOIN durable_objects_namespaces n ON n.id = m.namespace_id
       WHERE m.script_name = ?1 AND m.class_name = ?2 AND n.deleted_on IS NULL`,
      scriptName,
      className,
    );
    return row;
  }

  const byId = (id: string): Promise<NamespaceRow | undefined> =>
    meta.get<NamespaceRow & Record<string, never>>("SELECT * FROM durable_objects_namespaces WHERE id = ? AND deleted_on IS NULL", id);

  /** The namespaces of other scripts. */
  async function scriptsByName(reader: MetaReader, names: readonly string[]): Promise<Map<string, NamespaceRow[]>> {
    const others = new Map<string, NamespaceRow[]>();
    for (const name of names) {
      const rows = await reader.all<NamespaceRow & Record<string, never>>(
        "SELECT * FROM durable_objects_namespaces WHERE script_name = ? AND deleted_on IS NULL LIMIT 1000",
        name,
      );
      others.set(name, rows);
    }
    return others;
  }

  async function tagOf(reader: MetaReader, script: ScriptRef): Promise<string | undefined> {
    return (await reader.get<{ tag: string }>("SELECT tag FROM durable_objects_tags WHERE script_id = ?", script.id))?.tag;
  }

  const stateOf = (rows: readonly NamespaceRow[]): ClassState[] =>
    rows.map((row) => ({ className: row.class_name, sqlite: row.sqlite === 1, id: row.id }));

  /** What the script's classes are after an upload. */
  async function applied(
    reader: MetaReader,
    script: ScriptRef,
    { migrations, exports }: ClassLifecycle,
    code: Pick<Surroundings, "exported" | "isPreview">,
  ): Promise<Applied> {
    const current = stateOf(await rowsOf(reader, script));
    const tag = await tagOf(reader, script);
    if (Object.keys(exports ?? {}).length === 0) {
      const others = await scriptsByName(reader, transferSources(migrations));
      const classes = new Map([...others].map(([name, rows]) => [name, stateOf(rows)]));
      return { ...applyMigrations(current, tag, migrations, classes), given: [], expected: [] };
    }
    if (migrations !== undefined) throw durableObjectsError("invalidMigration", "`migrations` and `exports` are mutually exclusive.");
    const { migrations: steps, ...plan } = planOfExports(current, tag, exports, {
      ...code,
      ...(await surroundings(reader, script, exports)),
    });
    const result = applyMigrations(current, tag, steps);
    const goes = new Map(plan.given.map(({ className, to }) => [className, to]));
    return {
      ...result,
      classes: result.classes.filter(({ className }) => !goes.has(className)),
      given: result.classes.flatMap(({ className, sqlite, id }) => {
        const to = goes.get(className);
        return to === undefined || id === undefined ? [] : [{ className, sqlite, id, to }];
      }),
      expected: plan.expected,
      reconciliation: plan.reconciliation,
    };
  }

  async function surroundings(
    reader: MetaReader,
    script: ScriptRef,
    exports: unknown,
  ): Promise<Omit<Surroundings, "exported" | "isPreview">> {
    const names = scriptsOfExports(exports);
    const rows = await scriptsByName(reader, names);
    const others = new Map(names.map((name) => [name, isScript(name) ? stateOf(rows.get(name) ?? []) : undefined]));
    const pending = await reader.all<{ target: string; class_name: string; source: string }>(
      "SELECT target, class_name, source FROM durable_objects_transfers WHERE target = ? OR source = ? LIMIT 10000",
      script.name,
      script.name,
    );
    const moved = await reader.all<{ origin: string; class_name: string }>(
      `SELECT m.script_name AS origin, n.class_name FROM durable_objects_moved m JOIN durable_objects_namespaces n ON n.id = m.namespace_id
       WHERE n.script_id = ? AND m.script_name <> ? AND n.deleted_on IS NULL LIMIT 10000`,
      script.id,
      script.name,
    );
    return {
      script: script.name,
      others,
      pending: pending.map(({ target, class_name: className, source }) => ({ target, className, source })),
      origins: new Map(moved.map(({ origin, class_name: className }) => [className, origin])),
    };
  }

  async function sweepWhere(where: string, ...params: string[]): Promise<void> {
    const gone = await meta.all<{ id: string }>(
      `SELECT id FROM durable_objects_namespaces WHERE deleted_on IS NOT NULL AND ${where} LIMIT 1000`,
      ...params,
    );
    for (const { id } of gone) {
      // Files first: the row is what remembers that they must go.
      await arrangement.remove(id);
      await recovery.removeNamespace(id);
      await meta.run("DELETE FROM durable_objects_moved WHERE namespace_id = ?", id);
      await meta.run("DELETE FROM durable_objects_namespaces WHERE id = ?", id);
    }
  }

  /** Where a version keeps its objects, by part. */
  async function directoriesOf(script: ScriptRef, split: ObjectSplit | undefined, versionId: string): Promise<string[]> {
    const parts = (await rowsOf(meta, script)).flatMap((row) => partKeys(row.id));
    return parts.map((part) => join(arrangement.diskOf(split, versionId), part));
  }

  let reach: Parameters<DurableObjects["reachedBy"]>[0] | undefined;
  let scriptOf: Parameters<DurableObjects["scriptsBy"]>[0] = () => undefined;
  const isScript = (name: string): boolean => scriptOf(name) !== undefined;

  // What a crash left undone; no process of a Worker runs yet.
  await sweepWhere("1 = 1");

  const capability: DurableObjects = {
    storageService: STORAGE_SERVICE,
    previewNamespaces: (classes) => classes.flatMap(({ className, sqlite }) => namespaceParts(`preview-${className}`, className, sqlite)),
    async preview(script, lifecycle, bindings) {
      const { classes, deleted, given } = await applied(meta, script, lifecycle, { exported: undefined, isPreview: true });
      const bound: ClassState[] = [];
      for (const binding of bindings) {
        if (binding.type !== "durable_object_namespace" || isForeign(binding.script_name, script)) continue;
        const name = String(binding.class_name);
        if (classes.some((c) => c.className === name)) continue;
        // The binding follows the objects to the other script.
        const goes = given.find((c) => c.className === name);
        if (goes !== undefined) {
          bound.push(goes);
          continue;
        }
        const moved = await find(script.name, name);
        if (moved !== undefined && moved.script_id !== script.id) continue;
        if (deleted.some((c) => c.className === name)) {
          throw durableObjectsError(
            "deletedButBound",
            `Cannot apply --delete-class migration to class '${name}' without also removing the binding that references it`,
          );
        }
        throw durableObjectsError(
          "unknownClass",
          `Cannot create binding for class '${name}' because it is not currently configured to implement Durable Objects. Did you forget to apply a --new-class migration to it?`,
        );
      }
      return [...classes, ...bound];
    },
    async migrate(tx, script, lifecycle, exported) {
      const { classes, deleted, moved, given, expected, tag, reconciliation } = await applied(tx, script, lifecycle, {
        exported,
        isPreview: false,
      });
      for (const { className, id } of classes) {
        if (exported === undefined || exported.includes(className)) continue;
        if (id === undefined)
          throw durableObjectsError(
            "notExported",
            `Cannot apply new-class migration to class '${className}' that is not exported by script`,
          );
        throw durableObjectsError(
          "classStillExported",
          `New version of script does not export class '${className}' which is depended on by existing Durable Objects. If you want to delete these Durable Objects, you must use a delete-class migration.`,
        );
      }
      const now = clock.now();
      for (const { id } of deleted) {
        if (id !== undefined) await tx.run("UPDATE durable_objects_namespaces SET deleted_on = ? WHERE id = ?", now, id);
      }
      for (const { className, sqlite, id } of classes) {
        if (id === undefined) {
          await tx.run(
            "INSERT INTO durable_objects_namespaces (id, script_id, script_name, class_name, sqlite, created_on, deleted_on) VALUES (?, ?, ?, ?, ?, ?, NULL)",
            randomBytes(16).toString("hex"),
            script.id,
            script.name,
            className,
            Number(sqlite),
            now,
          );
        } else {
          await tx.run(
            "UPDATE durable_objects_namespaces SET class_name = ?, script_id = ?, script_name = ? WHERE id = ?",
            className,
            script.id,
            script.name,
            id,
          );
        }
      }
      await tx.run("DELETE FROM durable_objects_transfers WHERE target = ?", script.name);
      for (const { target, className, source } of expected)
        await tx.run("INSERT INTO durable_objects_transfers (target, class_name, source) VALUES (?, ?, ?)", target, className, source);
      for (const { className, id, to } of given) {
        const target = scriptOf(to);
        if (target === undefined) throw durableObjectsError("reconciliation");
        await tx.run("UPDATE durable_objects_namespaces SET script_id = ?, script_name = ? WHERE id = ?", target.id, target.name, id);
        await tx.run("DELETE FROM durable_objects_transfers WHERE target = ? AND class_name = ?", target.name, className);
      }
      const left = given.map(({ className, id }) => ({ fromScript: script.name, from: className, id }));
      for (const { fromScript, from, id } of [...moved, ...left]) {
        await tx.run(
          `INSERT INTO durable_objects_moved (script_name, class_name, namespace_id) VALUES (?, ?, ?)
           ON CONFLICT (script_name, class_name) DO UPDATE SET namespace_id = excluded.namespace_id`,
          fromScript ?? script.name,
          from,
          id,
        );
      }
      if (tag !== undefined) {
        await tx.run(
          "INSERT INTO durable_objects_tags (script_id, tag) VALUES (?, ?) ON CONFLICT (script_id) DO UPDATE SET tag = ?",
          script.id,
          tag,
          tag,
        );
      }
      const others = [...moved.flatMap(({ fromScript }) => fromScript ?? []), ...given.map(({ to }) => to)];
      return { others: [...new Set(others)], ...(reconciliation && { reconciliation }) };
    },
    async groups(script, split, versionId) {
      const rows = await rowsOf(meta, script);
      return groupsOf(
        rows.map(({ id }) => id),
        arrangement.diskOf(split, versionId),
      );
    },
    async misplaced(script, split) {
      const ids = (await rowsOf(meta, script)).map(({ id }) => id);
      const misplaced = arrangement.misplaced(ids, split);
      if (misplaced.length === 0) return undefined;
      return {
        groups: arrangement.disks.flatMap((disk) => groupsOf(misplaced, disk)),
        arrange: () => arrangement.arrange(misplaced, split),
      };
    },
    async parts(worker, user, split) {
      const script = { id: worker.scriptId, name: worker.scriptName };
      const rows = await rowsOf(meta, script);
      if (rows.length === 0) return { bindings: [] };
      const ids = rows.map(({ id }) => id);
      if (arrangement.misplaced(ids, split).length > 0) throw durableObjectsError("misplaced");
      const { services, sockets } = objectsParts(
        rows.map((row) => ({ id: row.id, className: row.class_name })),
        user,
        split && { split, versionId: worker.versionId },
      );
      const other = split?.shares.find((share) => share.versionId !== worker.versionId)?.versionId;
      const elsewhere = split === undefined ? [] : ids.map((id) => standIns(id, worker, async () => worker.scriptName, other));
      const disk: Service = { name: STORAGE_SERVICE, disk: { path: arrangement.diskOf(split, worker.versionId), writable: true } };
      return {
        bindings: [{ name: RECOVERY_BINDING, service: recovery.serviceName }],
        services: [disk, recovery.service(script.id), ...(await Promise.all(elsewhere)).flat(), ...services],
        sockets,
        durableObjectNamespaces: rows.flatMap((row) => namespaceParts(row.id, row.class_name, row.sqlite === 1)),
      };
    },
    classes: async (script) =>
      (await rowsOf(meta, script)).map((row) => ({ className: row.class_name, sqlite: row.sqlite === 1, id: row.id })),
    async modules(worker, code, split) {
      const rows = await rowsOf(meta, { id: worker.scriptId, name: worker.scriptName });
      if (rows.length === 0) return [];
      const classes = rows.map((row) => ({ className: row.class_name, sqlite: row.sqlite === 1, id: row.id }));
      const pending = await recovery.pending(
        meta,
        rows.flatMap(({ id }) => partKeys(id)),
      );
      return limitingModules(code, classes, limits, pending, split && { split, versionId: worker.versionId });
    },
    reset: (socket) => resetObjects(socket, RESET_TIMEOUT_MS),
    meter: (script, socket, cpuMs) => usage.collect(script.name, socket, cpuMs),
    reachedBy(lease) {
      reach = lease;
    },
    async namespace(id) {
      const row = await byId(id);
      return row && { scriptId: row.script_id, scriptName: row.script_name, className: row.class_name };
    },
    scriptsBy(find) {
      scriptOf = find;
    },
    migrationTag: (script) => tagOf(meta, script),
    nextAlarm: async (script, split, versionId) => (await earliestAlarm(await directoriesOf(script, split, versionId)))?.at,
    async dropNextAlarm(script, split, versionId) {
      const alarm = await earliestAlarm(await directoriesOf(script, split, versionId));
      if (alarm !== undefined) dropAlarm(alarm);
      return alarm?.object;
    },
    async removeScript(tx, script) {
      await tx.run(
        "UPDATE durable_objects_namespaces SET deleted_on = ? WHERE script_id = ? AND deleted_on IS NULL",
        clock.now(),
        script.id,
      );
      await tx.run("DELETE FROM durable_objects_tags WHERE script_id = ?", script.id);
      await tx.run("DELETE FROM durable_objects_transfers WHERE target = ? OR source = ?", script.name, script.name);
    },
    sweep: (script) => sweepWhere("script_id = ?", script.id),
  };
  return {
    capability,
    find,
    byId,
    ownBinding(name, className, namespaceId, worker) {
      const split = namespaceId === undefined ? undefined : arrangement.splitOf(namespaceId);
      // An upload that is being checked is none of the versions that share the objects.
      if (namespaceId === undefined || !split?.shares.some(({ versionId }) => versionId === worker.versionId))
        return namespaceBinding(name, { className });
      const elsewhere = { className: STAND_IN, serviceName: standInService(namespaceId) };
      return namespaceBinding(name, { className }, { standIns: elsewhere, own: { split, versionId: worker.versionId } });
    },
    async inside(row, work) {
      assert(reach !== undefined, "requests come when every product has started");
      for (const { versionId } of arrangement.splitOf(row.id)?.shares ?? [{ versionId: undefined }]) {
        const lease = await reach(row.script_name, versionId);
        try {
          const result = await work(lease.socket);
          if (result !== undefined) return result;
        } finally {
          lease.release();
        }
      }
      // A new deployment came in between.
      throw durableObjectsError("misplaced");
    },
  };
}

/** Processes that keep objects of a namespace on the same disk exclude each other. */
const groupsOf = (namespaceIds: readonly string[], disk: string): string[] =>
  namespaceIds
    .flatMap(partKeys)
    .map((part) => join(disk, part))
    .sort();

/** Whether a binding's `script_name` means another Worker than the one that has the binding. */
export const isForeign = (scriptName: unknown, script: { readonly name: string }): boolean =>
  scriptName !== undefined && scriptName !== script.name;
