/**
 * Class migrations as a pure function: the classes of a script and the steps of an upload give the new classes, or the
 * documented error. Storage never moves: a rename keeps the namespace's id, from which object ids and files derive.
 */
import { z } from "zod";
import { durableObjectsError } from "./errors.ts";

/** A class that implements Durable Objects. `id` is undefined for one that a migration has just created. */
export interface ClassState {
  readonly className: string;
  readonly sqlite: boolean;
  readonly id?: string | undefined;
}

const className = z.string().regex(/^[A-Za-z_$][\w$]*$/, "must be the name of an exported class");

const stepSchema = z.object({
  new_classes: z.array(className).default([]),
  new_sqlite_classes: z.array(className).default([]),
  renamed_classes: z.array(z.object({ from: className, to: className })).default([]),
  deleted_classes: z.array(className).default([]),
  transferred_classes: z.array(z.object({ from: className, from_script: z.string(), to: className })).default([]),
});

const migrationsSchema = z
  .object({ old_tag: z.string().optional(), new_tag: z.string().optional(), steps: z.array(stepSchema).optional() })
  .and(stepSchema);

export interface MigrationResult {
  readonly classes: readonly ClassState[];
  /** Classes whose objects go, with the ids of their namespaces. */
  readonly deleted: readonly ClassState[];
  /** Names that classes had before, in this script or another: bindings that know them follow the objects. */
  readonly moved: readonly MovedClass[];
  /** The tag after the migrations; undefined leaves it. */
  readonly tag: string | undefined;
}

/** A class name that no longer has objects of its own, and where they are now. */
export interface MovedClass {
  /** The other script, for a transfer. */
  readonly fromScript?: string;
  readonly from: string;
  readonly id: string;
}

/** Names of the scripts that the migrations of an upload take classes from. Wrong migrations name none: `applyMigrations` says so. */
export function transferSources(migrations: unknown): string[] {
  const parsed = migrationsSchema.safeParse(migrations);
  if (!parsed.success) return [];
  const { steps, ...single } = parsed.data;
  return [...new Set((steps ?? [single]).flatMap((step) => step.transferred_classes.map((transfer) => transfer.from_script)))];
}

/** The classes of other scripts, by the script's name. */
export type OtherScripts = ReadonlyMap<string, readonly ClassState[]>;

/** Applies the `migrations` of an upload's metadata; undefined means none. */
export function applyMigrations(
  current: readonly ClassState[],
  currentTag: string | undefined,
  migrations: unknown,
  others: OtherScripts = new Map(),
): MigrationResult {
  if (migrations === undefined || migrations === null) return { classes: current, deleted: [], moved: [], tag: undefined };
  const parsed = migrationsSchema.safeParse(migrations);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw durableObjectsError("invalidMigration", `migrations.${issue?.path.join(".")}: ${issue?.message}`);
  }
  const { old_tag: oldTag, new_tag: newTag, steps, ...single } = parsed.data;
  if ((oldTag ?? "") !== (currentTag ?? "")) {
    throw durableObjectsError(
      "tagMismatch",
      `migration tag precondition failed; current tag is '${currentTag ?? ""}', but the upload expects '${oldTag ?? ""}'`,
    );
  }
  const classes = new Map(current.map((c) => [c.className, c]));
  const deleted: ClassState[] = [];
  const moved: MovedClass[] = [];
  for (const step of steps ?? [single]) applyStep({ classes, deleted, moved, others }, step);
  return { classes: [...classes.values()], deleted, moved, tag: newTag };
}

interface Applied {
  readonly classes: Map<string, ClassState>;
  readonly deleted: ClassState[];
  readonly moved: MovedClass[];
  readonly others: OtherScripts;
}

function applyStep({ classes, deleted, moved, others }: Applied, step: z.infer<typeof stepSchema>): void {
  const create = (name: string, sqlite: boolean): void => {
    if (classes.has(name)) {
      throw durableObjectsError(
        "alreadyExists",
        `Cannot apply new-class migration to class '${name}' that is already depended on by existing Durable Objects`,
      );
    }
    classes.set(name, { className: name, sqlite });
  };
  for (const name of step.new_classes) create(name, false);
  for (const name of step.new_sqlite_classes) create(name, true);
  for (const { from, to } of step.renamed_classes) {
    const old = classes.get(from);
    if (old === undefined)
      throw durableObjectsError(
        "missingClass",
        `Cannot apply renamed-class migration to class '${from}' that has no existing Durable Objects`,
      );
    if (classes.has(to)) {
      throw durableObjectsError(
        "alreadyExists",
        `Cannot apply renamed-class migration to class '${to}' that is already depended on by existing Durable Objects`,
      );
    }
    classes.delete(from);
    classes.set(to, { ...old, className: to });
    if (old.id !== undefined) moved.push({ from, id: old.id });
  }
  for (const { from, from_script: fromScript, to } of step.transferred_classes) {
    const old = others.get(fromScript)?.find((c) => c.className === from);
    if (old?.id === undefined)
      throw durableObjectsError(
        "missingClass",
        `Cannot apply transferred-class migration to class '${from}' of script '${fromScript}' that has no existing Durable Objects`,
      );
    if (classes.has(to)) {
      throw durableObjectsError(
        "alreadyExists",
        `Cannot apply transferred-class migration to class '${to}' that is already depended on by existing Durable Objects`,
      );
    }
    classes.set(to, { ...old, className: to });
    moved.push({ fromScript, from, id: old.id });
  }
  for (const name of step.deleted_classes) {
    const old = classes.get(name);
    if (old === undefined)
      throw durableObjectsError(
        "missingClass",
        `Cannot apply deleted-class migration to class '${name}' that has no existing Durable Objects`,
      );
    classes.delete(name);
    deleted.push(old);
  }
}
