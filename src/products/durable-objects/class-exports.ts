/**
 * The declarative form of class migrations: an upload's `exports` say what each class is to be, and what its classes are
 * now says which steps lead there. Pure; the steps are those of `class-migrations.ts`, which applies them. A class that is
 * not declared stays as it is. Transfers between scripts are declared by `migrations` alone.
 */
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
import type { ClassState } from "./class-migrations.ts";
import { durableObjectsError } from "./errors.ts";

const storage = z.enum(["sqlite", "legacy-kv"]);
const declared = z.discriminatedUnion("state", [
  z.object({ state: z.literal("created"), storage }),
  z.object({ state: z.literal("deleted") }),
  z.object({ state: z.literal("renamed"), renamed_to: z.string().min(1) }),
  z.object({ state: z.literal("transferred") }),
  z.object({ state: z.literal("expecting-transfer") }),
]);
const exportsSchema = z.record(
  z.string(),
  z.looseObject({ type: z.string(), container: z.unknown().optional() }).transform((entry) => ({ state: "created", ...entry })),
);

/** What became of the declarations, as the upload's answer tells it (`exports_reconciliation`). */
export interface Reconciliation {
  readonly created: string[];
  readonly updated: string[];
  readonly deleted: string[];
  readonly renamed: { readonly from: string; readonly to: string }[];
  readonly transferred: never[];
  readonly transfer_pending: never[];
  readonly warnings: never[];
  readonly info: never[];
  /** Classes whose declaration has done its work. */
  readonly removable_entries: string[];
}

/** The steps from the script's classes to the declared ones. `tag` is the script's present tag, which they leave. */
export function migrationsOfExports(
  current: readonly ClassState[],
  tag: string | undefined,
  exports: unknown,
): { readonly migrations: unknown; readonly reconciliation: Reconciliation } {
  const classes = new Map(current.map((c) => [c.className, c]));
  const done: Reconciliation = {
    created: [],
    updated: [],
    deleted: [],
    renamed: [],
    transferred: [],
    transfer_pending: [],
    warnings: [],
    info: [],
    removable_entries: [],
  };
  const created: Record<z.infer<typeof storage>, string[]> = { sqlite: [], "legacy-kv": [] };
  for (const [name, entry] of Object.entries(parse(exportsSchema, exports, ""))) {
    if (entry.type !== "durable-object" || entry.container !== undefined)
      throw platformError(
        "notImplemented",
        `\`exports\` of type "${entry.type}" or with a container are not implemented by this version of Freehold`,
      );
    const wanted = parse(declared, entry, `.${name}`);
    const known = classes.get(name);
    if (wanted.state === "transferred" || wanted.state === "expecting-transfer")
      throw platformError("notImplemented", "Transfers by `exports` are not implemented by this version of Freehold: use `migrations`");
    if (wanted.state === "created") {
      if (known === undefined) created[wanted.storage].push(name);
      else if (known.sqlite !== (wanted.storage === "sqlite"))
        throw durableObjectsError("invalidMigration", `exports.${name}: the storage of an existing class cannot be changed`);
    } else if (known === undefined) done.removable_entries.push(name);
    else if (wanted.state === "renamed") done.renamed.push({ from: name, to: wanted.renamed_to });
    else done.deleted.push(name);
  }
  // A class that another is renamed to is declared as created, too.
  const renamedTo = new Set(done.renamed.map(({ to }) => to));
  const fresh = (names: readonly string[]): string[] => names.filter((name) => !renamedTo.has(name));
  const [newSqlite, newKeyValue] = [fresh(created.sqlite), fresh(created["legacy-kv"])];
  done.created.push(...newSqlite, ...newKeyValue);
  const steps = [
    { deleted_classes: done.deleted, renamed_classes: done.renamed },
    { new_sqlite_classes: newSqlite, new_classes: newKeyValue },
  ];
  return { migrations: { ...(tag !== undefined && { old_tag: tag }), steps }, reconciliation: done };
}

function parse<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw durableObjectsError("invalidMigration", `exports${path}.${issue?.path.join(".")}: ${issue?.message}`);
}
