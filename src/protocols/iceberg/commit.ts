/**
 * The application of updates to table metadata. Pure: storage, retries and access are the catalog's. A commit applies as
 * a whole or throws an `IcebergError`: `conflict` for a requirement that does not hold, `invalid` for a bad update,
 * `unsupported` for table encryption. Invariant: what comes out passes `checkTableMetadata`.
 */
import { conflict, IcebergError, invalid } from "./errors.ts";
import {
  checkTableMetadata,
  currentSchema,
  DEFAULT_FORMAT_VERSION,
  FIRST_PARTITION_FIELD_ID,
  type FormatVersion,
  MAIN_BRANCH,
  type MetadataLogEntry,
  type Snapshot,
  type SnapshotId,
  type SnapshotLogEntry,
  type SnapshotRef,
  type StatisticsFile,
  snapshotById,
  type TableMetadata,
} from "./metadata.ts";
import { checkRequirements } from "./requirements.ts";
import { checkNewSchema } from "./schema-rules.ts";
import { bindPartitionSpec, bindSortOrder } from "./specs.ts";
import { parseTransform } from "./transforms.ts";
import { fieldsById, highestFieldId, type Schema } from "./types.ts";
import type { TableRequirement, TableUpdate } from "./updates.ts";

export interface CommitContext {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Where `base` lies; goes into the metadata log. Undefined with no base. */
  readonly previousLocation?: string | undefined;
}

export interface CommitResult {
  readonly metadata: TableMetadata;
  /** False when the updates change nothing: `metadata` is the base and needs no new file. */
  readonly changed: boolean;
  /** Metadata files that dropped out of the log. */
  readonly droppedMetadataFiles: readonly string[];
}

/** Applies a commit to a table, or to no table (`base` undefined, with `assert-create`). */
export function applyCommit(
  base: TableMetadata | undefined,
  requirements: readonly TableRequirement[],
  updates: readonly TableUpdate[],
  context: CommitContext,
): CommitResult {
  checkRequirements(base, requirements);
  const draft = base === undefined ? emptyDraft(updates) : draftOf(base);
  for (const update of updates) applyUpdate(draft, update, context.now);
  if (base !== undefined && !draft.changed) return { metadata: base, changed: false, droppedMetadataFiles: [] };
  return finish(draft, base, context);
}

// --- draft -------------------------------------------------------------------------------------------------

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Draft {
  /** Each member is replaced, never changed in place: the base stays as it is. */
  metadata: Mutable<TableMetadata>;
  changed: boolean;
  /** What -1 refers to in the "set" updates that follow. */
  lastAddedSchema?: number;
  lastAddedSpec?: number;
  lastAddedOrder?: number;
  /** Snapshots that this commit adds. */
  readonly added: Set<SnapshotId>;
  removedSnapshots: boolean;
}

const draftOf = (base: TableMetadata): Draft => ({ metadata: { ...base }, changed: false, added: new Set(), removedSnapshots: false });

/** Metadata of a table that the updates are about to create. */
function emptyDraft(updates: readonly TableUpdate[]): Draft {
  const version = updates.find((update) => update.action === "upgrade-format-version")?.["format-version"];
  const metadata: TableMetadata = {
    "format-version": formatVersion(version ?? DEFAULT_FORMAT_VERSION),
    "table-uuid": "",
    location: "",
    "last-sequence-number": 0,
    "last-updated-ms": 0,
    "last-column-id": 0,
    schemas: [],
    "current-schema-id": -1,
    "partition-specs": [],
    "default-spec-id": -1,
    "last-partition-id": FIRST_PARTITION_FIELD_ID - 1,
    properties: {},
    snapshots: [],
    "snapshot-log": [],
    "metadata-log": [],
    "sort-orders": [],
    "default-sort-order-id": -1,
    refs: {},
    statistics: [],
    "partition-statistics": [],
    ...(version === 3 && { "next-row-id": 0 }),
  };
  return { ...draftOf(metadata), changed: true };
}

function formatVersion(version: number): FormatVersion {
  if (version !== 1 && version !== 2 && version !== 3) throw invalid(`Cannot use unsupported table format version: v${version}`);
  return version;
}

type Applier<A extends TableUpdate["action"]> = (draft: Draft, update: Extract<TableUpdate, { action: A }>, now: number) => void;

const refuseEncryption = (): never => {
  throw new IcebergError("unsupported", "Table encryption is not supported");
};

const appliers: { readonly [A in TableUpdate["action"]]: Applier<A> } = {
  "assign-uuid": (draft, { uuid }) => assignUuid(draft, uuid),
  "upgrade-format-version": (draft, update) => upgrade(draft, update["format-version"]),
  "add-schema": (draft, update) => addSchema(draft, update.schema, update["last-column-id"]),
  "set-current-schema": (draft, update) => setCurrentSchema(draft, update["schema-id"]),
  "add-spec": (draft, { spec }) => addSpec(draft, spec),
  "set-default-spec": (draft, update) => setDefaultSpec(draft, update["spec-id"]),
  "add-sort-order": (draft, update) => addSortOrder(draft, update["sort-order"]),
  "set-default-sort-order": (draft, update) => setDefaultSortOrder(draft, update["sort-order-id"]),
  "add-snapshot": (draft, { snapshot }) => addSnapshot(draft, snapshot),
  "set-snapshot-ref": (draft, { action: _, "ref-name": name, ...ref }, now) => setRef(draft, name, ref, now),
  "remove-snapshots": (draft, update) => removeSnapshots(draft, update["snapshot-ids"]),
  "remove-snapshot-ref": (draft, update) => removeRef(draft, update["ref-name"]),
  "set-location": (draft, { location }) => set(draft, "location", location.replace(/\/+$/, "")),
  "set-properties": (draft, { updates }) => setProperties(draft, updates),
  "remove-properties": (draft, { removals }) => removeProperties(draft, removals),
  "set-statistics": (draft, update) => setStatistics(draft, "statistics", update.statistics, update["snapshot-id"]),
  "remove-statistics": (draft, update) => removeStatistics(draft, "statistics", [update["snapshot-id"]]),
  "set-partition-statistics": (draft, update) => setStatistics(draft, "partition-statistics", update["partition-statistics"], undefined),
  "remove-partition-statistics": (draft, update) => removeStatistics(draft, "partition-statistics", [update["snapshot-id"]]),
  "remove-partition-specs": (draft, update) => removeSpecs(draft, update["spec-ids"]),
  "remove-schemas": (draft, update) => removeSchemas(draft, update["schema-ids"]),
  "add-encryption-key": refuseEncryption,
  "remove-encryption-key": refuseEncryption,
};

function applyUpdate(draft: Draft, update: TableUpdate, now: number): void {
  (appliers[update.action] as Applier<TableUpdate["action"]>)(draft, update, now);
}

/** Replaces one member and notes whether anything changed. */
function set<K extends keyof TableMetadata>(draft: Draft, key: K, value: TableMetadata[K]): void {
  if (draft.metadata[key] === value) return;
  draft.metadata[key] = value;
  draft.changed = true;
}

// --- identity ----------------------------------------------------------------------------------------------

function assignUuid(draft: Draft, uuid: string): void {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) throw invalid(`Cannot assign invalid uuid: ${uuid}`);
  const current = draft.metadata["table-uuid"];
  if (current !== "" && current.toLowerCase() !== uuid.toLowerCase()) throw invalid(`Cannot reassign uuid from ${current} to ${uuid}`);
  if (current === "") set(draft, "table-uuid", uuid.toLowerCase());
}

function upgrade(draft: Draft, to: number): void {
  const [from, version] = [draft.metadata["format-version"], formatVersion(to)];
  if (version < from) throw invalid(`Cannot downgrade v${from} table to v${version}`);
  set(draft, "format-version", version);
  if (version === 3 && draft.metadata["next-row-id"] === undefined) set(draft, "next-row-id", 0);
}

// --- schemas -----------------------------------------------------------------------------------------------

function addSchema(draft: Draft, schema: Schema, lastColumnId: number | undefined): void {
  const { metadata } = draft;
  checkNewSchema(schema, metadata["format-version"]);
  const last = metadata["last-column-id"];
  const { "schema-id": _, ...body } = schema;
  const equal = metadata.schemas.find((other) => sameSchema(other, schema));
  const id = equal?.["schema-id"] ?? Math.max(-1, ...metadata.schemas.map((other) => other["schema-id"] ?? 0)) + 1;
  draft.lastAddedSchema = id;
  // What clients send is the schema's own highest id, which is lower when the last column was dropped.
  set(draft, "last-column-id", Math.max(last, lastColumnId ?? 0, highestFieldId(schema)));
  if (equal === undefined) set(draft, "schemas", [...metadata.schemas, { ...body, type: "struct", "schema-id": id }]);
}

function sameSchema(a: Schema, b: Schema): boolean {
  const shape = (s: Schema): string =>
    canonical({ fields: s.fields, identifiers: [...(s["identifier-field-ids"] ?? [])].sort((x, y) => x - y) });
  return shape(a) === shape(b);
}

/** JSON with sorted keys and without null members, for comparison. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) => {
    if (typeof v === "bigint") return `${v}n`;
    if (typeof v !== "object" || v === null || Array.isArray(v)) return v;
    const members = Object.entries(v).filter(([, member]) => member !== null && member !== undefined);
    return Object.fromEntries(members.sort(([x], [y]) => (x < y ? -1 : 1)));
  });
}

function setCurrentSchema(draft: Draft, id: number): void {
  const schemaId = id === -1 ? draft.lastAddedSchema : id;
  if (schemaId === undefined) throw invalid("Cannot set last added schema: no schema has been added");
  if (!draft.metadata.schemas.some((schema) => schema["schema-id"] === schemaId))
    throw invalid(`Cannot set current schema to unknown schema: ${schemaId}`);
  set(draft, "current-schema-id", schemaId);
}

function removeSchemas(draft: Draft, ids: readonly number[]): void {
  if (ids.includes(draft.metadata["current-schema-id"])) throw invalid("Cannot remove the current schema");
  const kept = draft.metadata.schemas.filter((schema) => !ids.includes(schema["schema-id"] ?? 0));
  if (kept.length < draft.metadata.schemas.length) set(draft, "schemas", kept);
}

// --- partition specs and sort orders -----------------------------------------------------------------------

/** Specs and orders are bound to the current schema, or to the last added one while there is none. */
function bindingSchema(draft: Draft): Schema {
  const { metadata } = draft;
  if (metadata["current-schema-id"] >= 0) return currentSchema(metadata);
  const schema = metadata.schemas.at(-1);
  if (schema === undefined) throw invalid("Cannot add a partition spec or sort order before a schema");
  return schema;
}

function addSpec(draft: Draft, spec: Parameters<typeof bindPartitionSpec>[0]): void {
  const { metadata } = draft;
  const bound = bindPartitionSpec(spec, {
    schema: bindingSchema(draft),
    specs: metadata["partition-specs"],
    lastPartitionId: metadata["last-partition-id"],
    formatVersion: metadata["format-version"],
  });
  draft.lastAddedSpec = bound.spec["spec-id"];
  if (bound.reused) return;
  set(draft, "partition-specs", [...metadata["partition-specs"], bound.spec]);
  set(draft, "last-partition-id", bound.lastPartitionId);
}

function setDefaultSpec(draft: Draft, id: number): void {
  const specId = id === -1 ? draft.lastAddedSpec : id;
  if (specId === undefined) throw invalid("Cannot set last added spec: no spec has been added");
  if (!draft.metadata["partition-specs"].some((spec) => spec["spec-id"] === specId))
    throw invalid(`Cannot set default partition spec to unknown spec: ${specId}`);
  set(draft, "default-spec-id", specId);
}

function removeSpecs(draft: Draft, ids: readonly number[]): void {
  if (ids.includes(draft.metadata["default-spec-id"])) throw invalid("Cannot remove the default partition spec");
  const kept = draft.metadata["partition-specs"].filter((spec) => !ids.includes(spec["spec-id"]));
  if (kept.length < draft.metadata["partition-specs"].length) set(draft, "partition-specs", kept);
}

function addSortOrder(draft: Draft, order: Parameters<typeof bindSortOrder>[0]): void {
  const orders = draft.metadata["sort-orders"];
  const bound = bindSortOrder(order, { schema: bindingSchema(draft), orders });
  draft.lastAddedOrder = bound["order-id"];
  if (!orders.some((other) => other["order-id"] === bound["order-id"])) set(draft, "sort-orders", [...orders, bound]);
}

function setDefaultSortOrder(draft: Draft, id: number): void {
  const orderId = id === -1 ? draft.lastAddedOrder : id;
  if (orderId === undefined) throw invalid("Cannot set last added sort order: no sort order has been added");
  if (!draft.metadata["sort-orders"].some((order) => order["order-id"] === orderId))
    throw invalid(`Cannot set default sort order to unknown sort order: ${orderId}`);
  set(draft, "default-sort-order-id", orderId);
}

// --- snapshots and references ------------------------------------------------------------------------------

function addSnapshot(draft: Draft, snapshot: Snapshot): void {
  const { metadata } = draft;
  const { "snapshot-id": id, "sequence-number": sequence = 0 } = snapshot;
  const version = metadata["format-version"];
  if (metadata.schemas.length === 0) throw invalid("Attempting to add a snapshot before a schema is added");
  if (id <= 0n) throw invalid(`Invalid snapshot id: ${id}`);
  if (snapshotById(metadata, id) !== undefined) throw invalid(`Snapshot already exists for id: ${id}`);
  if (version > 1) {
    if (snapshot["manifest-list"] === undefined) throw invalid(`Cannot add snapshot ${id}: manifest-list is required`);
    if (snapshot["sequence-number"] === undefined) throw invalid(`Cannot add snapshot ${id}: sequence-number is required`);
    if (snapshot.summary === undefined) throw invalid(`Cannot add snapshot ${id}: summary is required`);
    const last = metadata["last-sequence-number"];
    if (sequence <= last && snapshot["parent-snapshot-id"] !== undefined)
      throw stale(`Cannot add snapshot with sequence number ${sequence} older than last sequence number ${last}`);
    set(draft, "last-sequence-number", Math.max(metadata["last-sequence-number"], sequence));
  } else if (snapshot["manifest-list"] === undefined && snapshot.manifests === undefined)
    throw invalid(`Cannot add snapshot ${id}: manifest-list is required`);
  if (version >= 3) addRows(draft, snapshot);
  set(draft, "snapshots", [...metadata.snapshots, snapshot]);
  draft.added.add(id);
}

/** The client planned on older metadata (another branch has moved on, say): it may load the table and try again. */
const stale = (message: string): IcebergError => conflict(`Validation failed, please retry: ${message}`);

function addRows(draft: Draft, snapshot: Snapshot): void {
  const { "first-row-id": first, "added-rows": rows } = snapshot;
  const next = draft.metadata["next-row-id"] ?? 0;
  if (first === undefined) throw invalid("Cannot add a snapshot: first-row-id is null");
  if (first < next) throw stale(`Cannot add a snapshot, first-row-id is behind table next-row-id: ${first} < ${next}`);
  if (rows === undefined || rows < 0) throw invalid("Cannot add a snapshot: added-rows is null");
  set(draft, "next-row-id", Math.max(first, next) + rows);
}

/** Clocks of writers may differ; readers of the reference implementation tolerate a log that runs back this far. */
const LOG_TOLERANCE_MS = 60_000;

function setRef(draft: Draft, name: string, ref: SnapshotRef, now: number): void {
  const { metadata } = draft;
  const id = ref["snapshot-id"];
  const snapshot = snapshotById(metadata, id);
  if (name === "") throw invalid("Cannot set a reference without a name");
  if (snapshot === undefined) throw invalid(`Cannot set ${name} to unknown snapshot: ${id}`);
  if (name === MAIN_BRANCH && ref.type !== "branch") throw invalid("Cannot set main to a tag");
  for (const key of ["max-ref-age-ms", "max-snapshot-age-ms", "min-snapshots-to-keep"] as const) {
    const value = ref[key];
    if (value !== undefined && value <= 0) throw invalid(`Invalid reference ${name}: ${key} must be greater than 0`);
    if (value !== undefined && ref.type === "tag" && key !== "max-ref-age-ms") throw invalid(`Tags do not support setting ${key}`);
  }
  const existing = Object.hasOwn(metadata.refs, name) ? metadata.refs[name] : undefined;
  if (existing !== undefined && canonical(existing) === canonical(ref)) return;
  set(draft, "refs", { ...metadata.refs, [name]: ref });
  if (name !== MAIN_BRANCH || metadata["current-snapshot-id"] === id) return;
  const last = metadata["snapshot-log"].at(-1)?.["timestamp-ms"] ?? 0;
  const timestamp = draft.added.has(id) ? snapshot["timestamp-ms"] : Math.max(now, last);
  if (timestamp < last - LOG_TOLERANCE_MS) throw invalid(`Invalid snapshot timestamp ${timestamp}: before last snapshot timestamp ${last}`);
  set(draft, "current-snapshot-id", id);
  set(draft, "snapshot-log", [...metadata["snapshot-log"], { "snapshot-id": id, "timestamp-ms": timestamp }]);
}

function removeRef(draft: Draft, name: string): void {
  const { metadata } = draft;
  if (!Object.hasOwn(metadata.refs, name)) return;
  const { [name]: _, ...refs } = metadata.refs;
  set(draft, "refs", refs);
  // The log stays: a table that is replaced gets its next snapshot later in the same commit, and keeps its history.
  if (name === MAIN_BRANCH) delete metadata["current-snapshot-id"];
}

function removeSnapshots(draft: Draft, ids: readonly SnapshotId[]): void {
  const gone = new Set(ids.filter((id) => snapshotById(draft.metadata, id) !== undefined));
  if (gone.size === 0) return;
  set(
    draft,
    "snapshots",
    draft.metadata.snapshots.filter((snapshot) => !gone.has(snapshot["snapshot-id"])),
  );
  draft.removedSnapshots = true;
  for (const [name, ref] of Object.entries(draft.metadata.refs)) if (gone.has(ref["snapshot-id"])) removeRef(draft, name);
  removeStatistics(draft, "statistics", [...gone]);
  removeStatistics(draft, "partition-statistics", [...gone]);
}

// --- properties and statistics -----------------------------------------------------------------------------

function setProperties(draft: Draft, updates: Readonly<Record<string, string>>): void {
  const { properties } = draft.metadata;
  if (Object.entries(updates).every(([key, value]) => properties[key] === value)) return;
  set(draft, "properties", { ...properties, ...updates });
}

function removeProperties(draft: Draft, removals: readonly string[]): void {
  const kept = Object.entries(draft.metadata.properties).filter(([key]) => !removals.includes(key));
  if (kept.length < Object.keys(draft.metadata.properties).length) set(draft, "properties", Object.fromEntries(kept));
}

type StatisticsKey = "statistics" | "partition-statistics";

function setStatistics(draft: Draft, key: StatisticsKey, file: StatisticsFile, snapshotId: SnapshotId | undefined): void {
  const id = file["snapshot-id"];
  if (snapshotId !== undefined && snapshotId !== id) throw invalid(`snapshotId does not match: ${snapshotId} vs ${id}`);
  set(draft, key, [...draft.metadata[key].filter((other) => other["snapshot-id"] !== id), file]);
}

function removeStatistics(draft: Draft, key: StatisticsKey, ids: readonly SnapshotId[]): void {
  const kept = draft.metadata[key].filter((file) => !ids.includes(file["snapshot-id"]));
  if (kept.length < draft.metadata[key].length) set(draft, key, kept);
}

// --- finishing ---------------------------------------------------------------------------------------------

const DEFAULT_PREVIOUS_VERSIONS_MAX = 100;

function finish(draft: Draft, base: TableMetadata | undefined, context: CommitContext): CommitResult {
  const { metadata } = draft;
  if (base === undefined) completeNewTable(draft);
  metadata["snapshot-log"] = finishSnapshotLog(draft);
  const lastLogged = metadata["snapshot-log"].at(-1)?.["timestamp-ms"] ?? 0;
  // Readers refuse logs that end after the last update, so a writer's fast clock moves it.
  metadata["last-updated-ms"] = Math.max(context.now, base?.["last-updated-ms"] ?? 0, lastLogged);
  const log = finishMetadataLog(metadata, base, context.previousLocation);
  metadata["metadata-log"] = log.kept;
  checkDefaults(metadata);
  checkTableMetadata(metadata);
  return { metadata, changed: true, droppedMetadataFiles: log.dropped };
}

/** What a creating commit may leave out: no partitioning, no sort order. */
function completeNewTable(draft: Draft): void {
  const { metadata } = draft;
  if (metadata.schemas.length === 0) throw invalid("Cannot create a table without a schema");
  if (metadata["current-schema-id"] < 0) setCurrentSchema(draft, -1);
  if (metadata["partition-specs"].length === 0) addSpec(draft, { fields: [] });
  if (metadata["default-spec-id"] < 0) setDefaultSpec(draft, -1);
  if (metadata["sort-orders"].length === 0) addSortOrder(draft, { fields: [] });
  if (metadata["default-sort-order-id"] < 0) setDefaultSortOrder(draft, -1);
}

/**
 * The log without snapshots that were current only inside this commit, and, if snapshots were removed, without
 * everything before a removed one: history with gaps would answer time travel wrongly.
 */
function finishSnapshotLog(draft: Draft): readonly SnapshotLogEntry[] {
  const { metadata, added } = draft;
  const known = new Set(metadata.snapshots.map((snapshot) => snapshot["snapshot-id"]));
  let log: SnapshotLogEntry[] = [];
  for (const entry of metadata["snapshot-log"]) {
    const id = entry["snapshot-id"];
    if (!known.has(id)) {
      if (draft.removedSnapshots) log = [];
      else log.push(entry);
    } else if (!added.has(id) || id === metadata["current-snapshot-id"]) log.push(entry);
  }
  return log;
}

function finishMetadataLog(
  metadata: TableMetadata,
  base: TableMetadata | undefined,
  previousLocation: string | undefined,
): { kept: readonly MetadataLogEntry[]; dropped: string[] } {
  if (base === undefined || previousLocation === undefined) return { kept: [], dropped: [] };
  const log = [...base["metadata-log"], { "metadata-file": previousLocation, "timestamp-ms": base["last-updated-ms"] }];
  const limit = Number(metadata.properties["write.metadata.previous-versions-max"] ?? DEFAULT_PREVIOUS_VERSIONS_MAX);
  const drop = Math.max(0, log.length - Math.max(1, Number.isInteger(limit) ? limit : DEFAULT_PREVIOUS_VERSIONS_MAX));
  return { kept: log.slice(drop), dropped: log.slice(0, drop).map((entry) => entry["metadata-file"]) };
}

/** The columns that the default spec and sort order work on must exist in the current schema. */
function checkDefaults(metadata: TableMetadata): void {
  const byId = fieldsById(currentSchema(metadata));
  const spec = metadata["partition-specs"].find((s) => s["spec-id"] === metadata["default-spec-id"]);
  const order = metadata["sort-orders"].find((o) => o["order-id"] === metadata["default-sort-order-id"]);
  for (const field of spec?.fields ?? [])
    if (parseTransform(field.transform).kind !== "void" && !byId.has(field["source-id"]))
      throw invalid(`Cannot find source column for partition field: ${field.name}`);
  for (const field of order?.fields ?? [])
    if (!byId.has(field["source-id"])) throw invalid(`Cannot find source column for sort field: ${field["source-id"]}`);
}
