/**
 * Class migrations as a pure function: the classes of a script and the steps of an upload give the new classes, or the
 * documented error. Storage never moves: a rename keeps the namespace's id, from which object ids and files derive.
 */
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
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
  transferred_classes: z.array(z.unknown()).default([]),
});

const migrationsSchema = z
  .object({ old_tag: z.string().optional(), new_tag: z.string().optional(), steps: z.array(stepSchema).optional() })
  .and(stepSchema);

export interface MigrationResult {
  readonly classes: readonly ClassState[];
  /** Classes whose objects go, with the ids of their namespaces. */
  readonly deleted: readonly ClassState[];
  /** The tag after the migrations; undefined leaves it. */
  readonly tag: string | undefined;
}

/** Applies the `migrations` of an upload's metadata; undefined means none. */
export function applyMigrations(current: readonly ClassState[], currentTag: string | undefined, migrations: unknown): MigrationResult {
  if (migrations === undefined || migrations === null) return { classes: current, deleted: [], tag: undefined };
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
  for (const step of steps ?? [single]) applyStep(classes, deleted, step);
  return { classes: [...classes.values()], deleted, tag: newTag };
}

function applyStep(classes: Map<string, ClassState>, deleted: ClassState[], step: z.infer<typeof stepSchema>): void {
  if (step.transferred_classes.length > 0) {
    throw platformError("notImplemented", "`transferred_classes` migrations are not implemented by this version of Freehold");
  }
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
