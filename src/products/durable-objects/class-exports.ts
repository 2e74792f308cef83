/**
 * The declarative form of class migrations: an upload's `exports` say what each class is to be, and what its classes are
 * now says which steps lead there. Pure; the steps are those of `class-migrations.ts`, which applies them, and the handing
 * over of classes between Workers, which needs a word of both: the target expects a class, then the source gives it.
 * https://developers.cloudflare.com/durable-objects/reference/durable-objects-migrations/
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
  z.object({ state: z.literal("transferred"), transferred_to: z.string().min(1) }),
  z.object({ state: z.literal("expecting-transfer"), storage, transfer_from: z.string().min(1) }),
]);
type Declared = z.infer<typeof declared>;
const exportsSchema = z.record(
  z.string(),
  z.looseObject({ type: z.string(), container: z.unknown().optional() }).transform((entry) => ({ state: "created", ...entry })),
);

/** A note about a class that does not keep the upload from being deployed. */
interface Note {
  readonly class: string;
  readonly scenario: "stale_tombstone" | "tombstone_class_still_in_code";
  readonly message: string;
}

/** What became of the declarations, as the upload's answer tells it (`exports_reconciliation`). */
export interface Reconciliation {
  readonly created: string[];
  readonly updated: string[];
  readonly deleted: string[];
  readonly renamed: { readonly from: string; readonly to: string }[];
  readonly transferred: { readonly class: string; readonly to: string; readonly phase: "committed" }[];
  readonly transfer_pending: { readonly class: string; readonly from: string }[];
  readonly warnings: never[];
  readonly info: Note[];
  /** Classes whose declaration has done its work. */
  readonly removable_entries: string[];
}

/** What a declaration can depend on besides the script itself. */
export interface Surroundings {
  readonly script: string;
  /** Names that the code exports; undefined when they are not known. */
  readonly exported: readonly string[] | undefined;
  /** Nothing is refused yet: what is wrong is told together, when the code has been run. */
  readonly isPreview: boolean;
  /** The classes of the other scripts that the declarations name; undefined for a script that does not exist. */
  readonly others: ReadonlyMap<string, readonly ClassState[] | undefined>;
  /** Who expects which class of whom, of this script and of those that the declarations name. */
  readonly pending: readonly PendingTransfer[];
  /** The script that a class of this script came from. */
  readonly origins: ReadonlyMap<string, string>;
}

export interface PendingTransfer {
  readonly target: string;
  readonly className: string;
  readonly source: string;
}

/** Names of the other scripts that the declarations of an upload mean. */
export function scriptsOfExports(exports: unknown): string[] {
  const entries = z.record(z.string(), z.looseObject({})).safeParse(exports);
  const named = Object.values(entries.data ?? {}).flatMap(({ transferred_to: to, transfer_from: from }) => [to, from]);
  return [...new Set(named.filter((name) => typeof name === "string"))];
}

export interface Plan {
  readonly migrations: unknown;
  readonly reconciliation: Reconciliation;
  /** What the script expects of others from now on; what it expected before is over. */
  readonly expected: readonly PendingTransfer[];
  /** Classes that go to other scripts, after the migrations. */
  readonly given: readonly { readonly className: string; readonly to: string }[];
}

/** Throws `durableObjects.reconciliation` with all that is wrong, each thing under its documented name. */
export function planOfExports(current: readonly ClassState[], tag: string | undefined, exports: unknown, around: Surroundings): Plan {
  const entries = new Map<string, Declared>();
  for (const [name, entry] of Object.entries(parse(exportsSchema, exports, ""))) {
    if (entry.type !== "durable-object" || entry.container !== undefined)
      throw platformError(
        "notImplemented",
        `\`exports\` of type "${entry.type}" or with a container are not implemented by this version of Freehold`,
      );
    entries.set(name, parse(declared, entry, `.${name}`));
  }
  const plan = new Planner(current, entries, around);
  for (const [name, entry] of entries) plan.add(name, entry);
  for (const { className } of current) if (!entries.has(className)) plan.undeclared(className);
  plan.check();
  const { done, created, expected } = plan;
  const steps = [{ deleted_classes: done.deleted, renamed_classes: done.renamed }, { new_sqlite_classes: created }];
  const given = done.transferred.map(({ class: className, to }) => ({ className, to }));
  return { migrations: { ...(tag !== undefined && { old_tag: tag }), steps }, reconciliation: done, expected, given };
}

class Planner {
  readonly done: Reconciliation = {
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
  readonly created: string[] = [];
  readonly expected: PendingTransfer[] = [];
  readonly #classes: ReadonlyMap<string, ClassState>;
  readonly #entries: ReadonlyMap<string, Declared>;
  readonly #around: Surroundings;
  readonly #wrong: { class: string; scenario: string; message: string; suggestion?: string }[] = [];

  constructor(current: readonly ClassState[], entries: ReadonlyMap<string, Declared>, around: Surroundings) {
    this.#classes = new Map(current.map((one) => [one.className, one]));
    this.#entries = entries;
    this.#around = around;
  }

  add(name: string, entry: Declared): undefined {
    const known = this.#classes.get(name);
    switch (entry.state) {
      case "created":
        return this.#live(name, entry.storage, known);
      case "expecting-transfer":
        return this.#expecting(name, entry, known);
      default:
        if (known === undefined) return this.#stale(name, entry.state);
        if (entry.state === "deleted") return this.#deleted(name);
        if (entry.state === "renamed") return this.#renamed(name, entry.renamed_to);
        return this.#transferred(name, entry.transferred_to);
    }
  }

  undeclared(name: string): undefined {
    if (this.#inCode(name) === false) {
      const suggestion = `add an \`exports\` entry for '${name}', or add a \`deleted\` tombstone to remove the namespace.`;
      this.#fail(
        name,
        "orphaned_provisioned_namespace",
        `A namespace exists for '${name}' but no \`exports\` entry declares it.`,
        suggestion,
      );
    } else {
      const suggestion = `add a live \`exports\` entry for '${name}' to keep the namespace, or a tombstone to retire it.`;
      this.#fail(
        name,
        "provisioned_class_missing_from_config",
        `A namespace exists for '${name}', which the code exports, but \`exports\` has no entry for it.`,
        suggestion,
      );
    }
  }

  check(): undefined {
    if (this.#wrong.length === 0 || this.#around.isPreview) return;
    const first = this.#wrong.map(({ class: name, message }) => `class '${name}': ${message}`).join(" ");
    throw durableObjectsError("reconciliation", `Durable Object exports reconciliation failed: ${first}`, {
      meta: { details: this.#wrong },
    });
  }

  #live(name: string, kind: z.infer<typeof storage>, known: ClassState | undefined): undefined {
    if (known === undefined) {
      // A class that another is renamed to is declared as created, too.
      if ([...this.#entries].some(([from, one]) => one.state === "renamed" && one.renamed_to === name && this.#classes.has(from))) return;
      if (this.#inCode(name) === false)
        return this.#fail(
          name,
          "config_references_nonexistent_class",
          `'${name}' is neither exported by the code nor provisioned.`,
          "remove the entry, or add the class to the code.",
        );
      if (kind !== "sqlite")
        return this.#fail(name, "invalid_export", "A new namespace cannot use `legacy-kv` storage.", 'use `"storage": "sqlite"`.');
      this.created.push(name);
      this.done.created.push(name);
    } else if (this.#inCode(name) === false) {
      this.#fail(
        name,
        "config_export_not_in_code",
        `'${name}' is declared but not exported by the code.`,
        "add the class to the code, or replace the entry with a tombstone.",
      );
    } else this.#sameStorage(name, kind, known);
  }

  #sameStorage(name: string, kind: z.infer<typeof storage>, known: ClassState): undefined {
    if (known.sqlite === (kind === "sqlite")) return;
    const is = known.sqlite ? "sqlite" : "legacy-kv";
    this.#fail(name, "storage_type_mismatch", `The namespace uses \`${is}\` storage, which cannot be changed to \`${kind}\`.`);
  }

  #expecting(name: string, entry: Declared & { state: "expecting-transfer" }, known: ClassState | undefined): undefined {
    const { transfer_from: from } = entry;
    const { script, others, origins } = this.#around;
    if (known !== undefined) {
      const origin = origins.get(name);
      if (origin === from) return this.#sameStorage(name, entry.storage, known);
      return origin === undefined
        ? this.#fail(
            name,
            "phase_one_transfer_target_class_provisioned",
            `'${name}' has a namespace of its own already.`,
            "declare it as a live class, or delete the namespace first.",
          )
        : this.#fail(
            name,
            "phase_one_transfer_after_commit_mismatch",
            `'${name}' came from '${origin}', not from '${from}'.`,
            "remove the `expecting-transfer` entry.",
          );
    }
    if (this.#inCode(name) === false)
      return this.#fail(
        name,
        "config_references_nonexistent_class",
        `'${name}' is neither exported by the code nor provisioned.`,
        "add the class to the code.",
      );
    const source = others.get(from);
    if (source === undefined) return this.#fail(name, "phase_one_transfer_source_missing", `There is no Worker '${from}'.`);
    const given = source.find(({ className }) => className === name);
    if (given === undefined)
      return this.#fail(name, "phase_one_transfer_source_namespace_missing", `'${from}' has no namespace for '${name}'.`);
    this.#sameStorage(name, entry.storage, given);
    const other = this.#around.pending.find((one) => one.target === script && one.className === name);
    if (other !== undefined && other.source !== from)
      return this.#fail(
        name,
        "phase_one_transfer_duplicate",
        `'${name}' is expected from '${other.source}' already.`,
        "cancel that transfer first by removing its entry.",
      );
    this.expected.push({ target: script, className: name, source: from });
    this.done.transfer_pending.push({ class: name, from });
  }

  #deleted(name: string): undefined {
    if (this.#inCode(name) === true)
      return this.#fail(
        name,
        "tombstone_delete_class_still_in_code",
        `'${name}' is to be deleted, but the code exports it.`,
        "remove the class from the code first.",
      );
    this.done.deleted.push(name);
  }

  #renamed(name: string, to: string): undefined {
    if (this.#entries.get(to)?.state !== "created")
      return this.#fail(name, "invalid_export", `'${to}', the new name, is no live entry of \`exports\`.`);
    if (this.#classes.has(to))
      return this.#fail(
        name,
        "tombstone_renamed_to_occupied",
        `A namespace exists for '${to}' already.`,
        "delete that namespace first by a `deleted` tombstone.",
      );
    this.done.renamed.push({ from: name, to });
    this.#stillInCode(name, "renamed");
  }

  #transferred(name: string, to: string): undefined {
    const { script, others, pending } = this.#around;
    if (others.get(to) === undefined) return this.#fail(name, "transferred_target_missing", `There is no Worker '${to}'.`);
    const expecting = pending.filter((one) => one.source === script && one.className === name);
    if (expecting.length === 0)
      return this.#fail(
        name,
        "transferred_pending_not_found",
        `'${to}' does not expect '${name}'.`,
        "deploy the target first, with an `expecting-transfer` entry that names this Worker.",
      );
    if (!expecting.some(({ target }) => target === to))
      return this.#fail(name, "transferred_target_mismatch", `'${name}' is expected by '${expecting[0]?.target}', not by '${to}'.`);
    this.done.transferred.push({ class: name, to, phase: "committed" });
    this.#stillInCode(name, "transferred");
  }

  #stale(name: string, state: string): undefined {
    const message = `Tombstone of type '${state}' for class '${name}' has no effect (no namespace exists with this class name). Safe to remove from \`exports\`.`;
    this.done.info.push({ class: name, scenario: "stale_tombstone", message });
    this.done.removable_entries.push(name);
  }

  #stillInCode(name: string, state: string): undefined {
    if (this.#inCode(name) !== true) return;
    const message = `Tombstone of type '${state}' applied. Class '${name}' is still exported in code; this is the supported pattern for zero-downtime ${state === "renamed" ? "rename" : "transfer"} rollouts.`;
    this.done.info.push({ class: name, scenario: "tombstone_class_still_in_code", message });
  }

  #inCode(name: string): boolean | undefined {
    return this.#around.exported?.includes(name);
  }

  #fail(name: string, scenario: string, message: string, suggestion?: string): undefined {
    this.#wrong.push({ class: name, scenario, message, ...(suggestion !== undefined && { suggestion }) });
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw durableObjectsError("invalidMigration", `exports${path}.${issue?.path.join(".")}: ${issue?.message}`);
}
