/** The catalog as queries see it: names as written to tables, and the answers of SHOW and DESCRIBE. */
import type { Tables } from "../../kernel/capabilities.ts";
import type { IcebergType } from "../../protocols/iceberg/types.ts";
import { isList, isMap, isStruct } from "../../protocols/iceberg/types.ts";
import type { Descriptor, ResultColumn } from "./engine/protocol.ts";
import { invalidQuery } from "./errors.ts";
import { openTable, type TableSnapshot } from "./plan/planner.ts";

/** A small result that no engine made. */
export interface StaticResult {
  readonly columns: readonly ResultColumn[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

const column = (name: string, type: Descriptor["type"]["name"], nullable: boolean): ResultColumn => ({
  name,
  descriptor: { type: { name: type }, nullable },
});

/** Namespaces of all levels in order; an inner one as "outer.inner". */
export async function showNamespaces(tables: Tables, bucket: string): Promise<StaticResult> {
  const names: string[] = [];
  const visit = async (parent?: readonly string[]): Promise<void> => {
    for (const path of await tables.namespaces(bucket, parent)) {
      names.push(path.join("."));
      await visit(path);
    }
  };
  await visit();
  return { columns: [column("namespace", "string", false)], rows: names.map((namespace) => ({ namespace })) };
}

export async function showTables(tables: Tables, bucket: string, name: readonly string[]): Promise<StaticResult> {
  for (const path of await namespacePaths(tables, bucket, name)) {
    const found = await tables.tables(bucket, path);
    if (found !== undefined) return { columns: [column("table_name", "string", false)], rows: found.map((table_name) => ({ table_name })) };
  }
  throw invalidQuery(`namespace "${name.join(".")}" does not exist`);
}

/** Columns as the documentation of newer clients lists them: name, Iceberg type, required, defaults, doc. */
export function describeTable(table: TableSnapshot): StaticResult {
  return {
    columns: [
      column("column_name", "string", false),
      column("type", "string", false),
      column("required", "bool", false),
      column("initial_default", "string", true),
      column("write_default", "string", true),
      column("doc", "string", true),
    ],
    rows: table.schema.fields.map((field) => ({
      column_name: field.name,
      type: typeText(field.type),
      required: field.required,
      initial_default: defaultText(field["initial-default"]),
      write_default: defaultText(field["write-default"]),
      doc: field.doc ?? null,
    })),
  };
}

const defaultText = (value: unknown): string | null => {
  if (value === undefined || value === null) return null;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};

/** "struct<1: a: optional long>" is for machines; people read "struct<a: long>". */
function typeText(type: IcebergType): string {
  if (isStruct(type)) return `struct<${type.fields.map((field) => `${field.name}: ${typeText(field.type)}`).join(", ")}>`;
  if (isList(type)) return `list<${typeText(type.element)}>`;
  if (isMap(type)) return `map<${typeText(type.key)}, ${typeText(type.value)}>`;
  return type;
}

/**
 * The table of a name as written, the namespace's parts and the table's. Names are taken as they are first; if there is no
 * such table, without regard to case, as SQL names are. Throws `r2-sql.invalidQuery`.
 */
export async function resolveTable(tables: Tables, bucket: string, name: readonly string[]): Promise<TableSnapshot> {
  const written = name.join(".");
  if (name.length < 2) throw invalidQuery(`table "${written}" must be qualified: namespace_name.table_name`);
  const last = name.at(-1) as string;
  let namespaceExists = false;
  for (const path of await namespacePaths(tables, bucket, name.slice(0, -1))) {
    const exact = await tables.load(bucket, path, last);
    if (exact !== undefined) return openTable(exact, bucket, [...path, last].join("."));
    const names = await tables.tables(bucket, path);
    namespaceExists ||= names !== undefined;
    const similar = (names ?? []).filter((one) => one.toLowerCase() === last.toLowerCase());
    if (similar.length !== 1) continue;
    const loaded = await tables.load(bucket, path, similar[0] as string);
    if (loaded !== undefined) return openTable(loaded, bucket, [...path, similar[0]].join("."));
  }
  if (!namespaceExists) throw invalidQuery(`namespace "${name.slice(0, -1).join(".")}" does not exist`);
  throw invalidQuery(`table "${written}" does not exist`);
}

/** Where a namespace as written may lie: its parts are levels, and a quoted "a.b" may mean two. */
async function namespacePaths(tables: Tables, bucket: string, parts: readonly string[]): Promise<string[][]> {
  const paths = [[...parts]];
  const split = parts.flatMap((part) => part.split("."));
  if (split.length > parts.length) paths.push(split);
  if ((await tables.tables(bucket, parts)) !== undefined) return paths;
  for (let i = 0, level: string[] = []; i < split.length; i++) {
    const children = await tables.namespaces(bucket, level.length === 0 ? undefined : level);
    const similar = children.filter((path) => path.at(-1)?.toLowerCase() === split[i]?.toLowerCase());
    if (similar.length !== 1) return paths;
    level = similar[0] as string[];
    if (i === split.length - 1) paths.push(level);
  }
  return paths;
}
