/**
 * View metadata (version 1): the types of its file, a new view, and the updates of the REST specification applied to it.
 * Pure. A change applies as a whole or throws an `IcebergError`.
 */
import { conflict, IcebergError, invalid } from "./errors.ts";
import { parseIcebergJson, stringifyIcebergJson } from "./json.ts";
import { checkSchema } from "./schema-rules.ts";
import type { Schema } from "./types.ts";

export interface ViewRepresentation {
  readonly type: string;
  readonly sql: string;
  readonly dialect: string;
}

export interface ViewVersion {
  readonly "version-id": number;
  readonly "timestamp-ms": number;
  readonly "schema-id": number;
  readonly summary: Readonly<Record<string, string>>;
  readonly representations: readonly ViewRepresentation[];
  readonly "default-catalog"?: string | null;
  readonly "default-namespace": readonly string[];
}

export interface ViewMetadata {
  readonly "view-uuid": string;
  readonly "format-version": 1;
  readonly location: string;
  readonly "current-version-id": number;
  readonly versions: readonly ViewVersion[];
  readonly "version-log": readonly { readonly "timestamp-ms": number; readonly "version-id": number }[];
  readonly schemas: readonly Schema[];
  readonly properties: Readonly<Record<string, string>>;
}

const HISTORY_PROPERTY = "version.history.num-entries";
const HISTORY_DEFAULT = 10;
const DROP_DIALECT_PROPERTY = "replace.drop-dialect.allowed";
/** Views may use every type; their schemas are not bound to a table format. */
const SCHEMA_VERSION = 3;
const LAST_ADDED = -1;

export interface NewView {
  readonly uuid: string;
  readonly location: string;
  readonly schema: Schema;
  readonly version: unknown;
  readonly properties: Readonly<Record<string, string>>;
}

/** A view with its first version; throws `invalid`. */
export function newViewMetadata({ uuid, location, schema, version, properties }: NewView): ViewMetadata {
  const draft: Draft = {
    metadata: {
      "view-uuid": uuid,
      "format-version": 1,
      location,
      "current-version-id": LAST_ADDED,
      versions: [],
      "version-log": [],
      schemas: [],
      properties,
    },
  };
  addSchema(draft, schema);
  // Whatever schema id the version names: it means the schema that comes with it.
  addVersion(draft, { ...checkVersion(version), "schema-id": LAST_ADDED });
  setCurrentVersion(draft, LAST_ADDED, 0);
  return draft.metadata;
}

export const serializeViewMetadata = (metadata: ViewMetadata): string => stringifyIcebergJson(metadata);

/** Reads a view's metadata file; throws `invalid`. */
export function parseViewMetadata(text: string): ViewMetadata {
  let json: unknown;
  try {
    json = parseIcebergJson(text);
  } catch (cause) {
    throw invalid(`Cannot parse view metadata: ${(cause as Error).message}`, { cause });
  }
  if (!isObject(json) || typeof json["view-uuid"] !== "string" || !Array.isArray(json.versions) || !Array.isArray(json.schemas))
    throw invalid("Cannot parse view metadata: it has not the members of a view");
  return json as unknown as ViewMetadata;
}

/** Checks `assert-view-uuid`, then applies the updates of a replace; returns the base itself when nothing changes. */
export function applyViewCommit(base: ViewMetadata, requirements: unknown, updates: unknown, now: number): ViewMetadata {
  for (const requirement of list(requirements, "requirements")) {
    if (requirement.type !== "assert-view-uuid")
      throw invalid(`Cannot parse requirement: unknown type ${JSON.stringify(requirement.type ?? null)}`);
    if (String(requirement.uuid).toLowerCase() !== base["view-uuid"].toLowerCase())
      throw conflict(`Requirement failed: view UUID does not match: expected ${String(requirement.uuid)} != ${base["view-uuid"]}`);
  }
  const draft: Draft = { metadata: base };
  for (const update of list(updates, "updates")) applyUpdate(draft, update, now);
  if (draft.metadata === base) return base;
  keepDialects(base, draft.metadata);
  return expireVersions(draft.metadata);
}

// --- updates -----------------------------------------------------------------------------------------------

type Json = Record<string, unknown>;

interface Draft {
  metadata: ViewMetadata;
  lastAddedSchema?: number;
  lastAddedVersion?: number;
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

function list(value: unknown, what: string): Json[] {
  if (!Array.isArray(value) || !value.every(isObject)) throw invalid(`Cannot parse ${what}: not a list of objects`);
  return value;
}

function applyUpdate(draft: Draft, update: Json, now: number): void {
  const { metadata } = draft;
  switch (update.action) {
    case "assign-uuid":
      if (String(update.uuid).toLowerCase() !== metadata["view-uuid"].toLowerCase()) throw invalid("Cannot reassign the uuid of a view");
      return;
    case "upgrade-format-version":
      if (update["format-version"] !== 1) throw invalid(`Cannot use unsupported view format version: ${String(update["format-version"])}`);
      return;
    case "add-schema":
      addSchema(draft, update.schema);
      return;
    case "set-location":
      if (String(update.location).replace(/\/+$/, "") !== metadata.location) throw invalid("The location of a view cannot be changed");
      return;
    case "set-properties":
      if (!isObject(update.updates) || Object.values(update.updates).some((v) => typeof v !== "string"))
        throw invalid("Cannot parse update set-properties: updates must hold strings");
      draft.metadata = { ...metadata, properties: { ...metadata.properties, ...(update.updates as Record<string, string>) } };
      return;
    case "remove-properties": {
      const removals = Array.isArray(update.removals) ? (update.removals as unknown[]) : [];
      const kept = Object.entries(metadata.properties).filter(([key]) => !removals.includes(key));
      draft.metadata = { ...metadata, properties: Object.fromEntries(kept) };
      return;
    }
    case "add-view-version":
      addVersion(draft, checkVersion(update["view-version"]));
      return;
    case "set-current-view-version":
      if (!Number.isSafeInteger(update["view-version-id"]))
        throw invalid("Cannot parse update set-current-view-version: view-version-id must be an integer");
      setCurrentVersion(draft, update["view-version-id"] as number, now);
      return;
    default:
      throw invalid(`Cannot parse update: unknown action ${JSON.stringify(update.action ?? null)}`);
  }
}

function addSchema(draft: Draft, schema: unknown): void {
  checkSchema(schema, SCHEMA_VERSION);
  const { schemas } = draft.metadata;
  const { "schema-id": _, ...body } = schema;
  const equal = schemas.find(({ "schema-id": __, ...other }) => JSON.stringify(other.fields) === JSON.stringify(body.fields));
  const id = equal?.["schema-id"] ?? Math.max(-1, ...schemas.map((other) => other["schema-id"] ?? 0)) + 1;
  draft.lastAddedSchema = id;
  if (equal === undefined) draft.metadata = { ...draft.metadata, schemas: [...schemas, { ...body, type: "struct", "schema-id": id }] };
}

function checkVersion(version: unknown): ViewVersion {
  const bad = (why: string): never => {
    throw invalid(`Cannot parse view version: ${why}`);
  };
  if (!isObject(version)) return bad("not an object");
  for (const key of ["version-id", "timestamp-ms", "schema-id"]) if (!Number.isSafeInteger(version[key])) bad(`${key} must be an integer`);
  if (!isObject(version.summary)) bad("summary must be an object");
  if (!Array.isArray(version["default-namespace"])) bad("default-namespace must be a list");
  const dialects = new Set<string>();
  for (const representation of list(version.representations, "representations")) {
    const { type, sql, dialect } = representation;
    if (type !== "sql" || typeof sql !== "string" || typeof dialect !== "string") bad("a representation must be SQL with its dialect");
    const name = String(dialect).toLowerCase();
    if (dialects.has(name)) throw new IcebergError("argument", `Invalid view version: Cannot add multiple queries for dialect ${name}`);
    dialects.add(name);
  }
  if (dialects.size === 0) bad("it has no representation");
  return version as unknown as ViewVersion;
}

function addVersion(draft: Draft, version: ViewVersion): void {
  const { versions, schemas } = draft.metadata;
  const schemaId = version["schema-id"] === LAST_ADDED ? draft.lastAddedSchema : version["schema-id"];
  if (schemaId === undefined) throw invalid("Cannot set last added schema: no schema has been added");
  if (!schemas.some((schema) => schema["schema-id"] === schemaId)) throw invalid(`Cannot add version with unknown schema: ${schemaId}`);
  const same = (v: ViewVersion): string =>
    JSON.stringify([v["schema-id"], v.representations, v["default-catalog"] ?? null, v["default-namespace"]]);
  const equal = versions.find((other) => same(other) === same({ ...version, "schema-id": schemaId }));
  const id =
    equal?.["version-id"] ?? Math.max(version["version-id"] > 0 ? version["version-id"] : 1, ...versions.map((v) => v["version-id"] + 1));
  draft.lastAddedVersion = id;
  if (equal === undefined)
    draft.metadata = { ...draft.metadata, versions: [...versions, { ...version, "version-id": id, "schema-id": schemaId }] };
}

function setCurrentVersion(draft: Draft, id: number, now: number): void {
  const { metadata } = draft;
  const versionId = id === LAST_ADDED ? draft.lastAddedVersion : id;
  if (versionId === undefined) throw invalid("Cannot set last version id: no current version id has been set");
  const version = metadata.versions.find((v) => v["version-id"] === versionId);
  if (version === undefined) throw invalid(`Cannot set current version to unknown version: ${versionId}`);
  if (metadata["current-version-id"] === versionId) return;
  const timestamp = versionId === draft.lastAddedVersion ? version["timestamp-ms"] : now;
  draft.metadata = {
    ...metadata,
    "current-version-id": versionId,
    "version-log": [...metadata["version-log"], { "timestamp-ms": timestamp, "version-id": versionId }],
  };
}

/** A replace must not silently take a query away from an engine, unless the view allows it. */
function keepDialects(before: ViewMetadata, after: ViewMetadata): void {
  if (after.properties[DROP_DIALECT_PROPERTY]?.toLowerCase() === "true") return;
  const dialects = (view: ViewMetadata): string[] =>
    (view.versions.find((v) => v["version-id"] === view["current-version-id"])?.representations ?? []).map((r) => r.dialect.toLowerCase());
  const kept = dialects(after);
  const lost = dialects(before).filter((dialect) => !kept.includes(dialect));
  if (lost.length > 0)
    throw invalid(`Cannot replace view due to loss of view dialects (${DROP_DIALECT_PROPERTY}=false): ${lost.join(", ")}`);
}

/** Keeps the current version and the newest others, up to the number that the view asks for. */
function expireVersions(metadata: ViewMetadata): ViewMetadata {
  const wanted = Number(metadata.properties[HISTORY_PROPERTY] ?? HISTORY_DEFAULT);
  const limit = Number.isInteger(wanted) && wanted > 0 ? wanted : HISTORY_DEFAULT;
  if (metadata.versions.length <= limit) return metadata;
  const current = metadata["current-version-id"];
  const others = metadata.versions.map((v) => v["version-id"]).filter((id) => id !== current);
  const kept = new Set([current, ...others.sort((a, b) => b - a).slice(0, limit - 1)]);
  // History with gaps would answer wrongly: it begins after the last version that is gone.
  let log: { readonly "timestamp-ms": number; readonly "version-id": number }[] = [];
  for (const entry of metadata["version-log"]) log = kept.has(entry["version-id"]) ? [...log, entry] : [];
  return { ...metadata, versions: metadata.versions.filter((v) => kept.has(v["version-id"])), "version-log": log };
}
