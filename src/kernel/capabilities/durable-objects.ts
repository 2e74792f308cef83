/** Durable Objects of scripts. Interfaces only. */
import type { MetaTransaction } from "../meta/meta.ts";
import type { ObjectSplit } from "../object-split.ts";
import type { BindingConfig, WorkerdParts, WorkerRef } from "../product.ts";
import type { DurableObjectNamespace, Module } from "../workerd/config.ts";
import type { ScriptRef } from "./workers.ts";

/** What an upload's metadata says of classes that implement Durable Objects: steps, or what each is to be. Not both. */
export interface ClassLifecycle {
  readonly migrations?: unknown;
  readonly exports?: unknown;
}

/** Durable Object namespaces of scripts. */
/** The code of a Worker that may implement Durable Objects. */
export interface ObjectCode {
  /** The main module's name. */
  readonly main: string;
  /** Names that it exports. */
  readonly exported: readonly string[];
  /** A module of the Worker whose function `object` stands around each class, outermost: it gets the class and gives one. */
  readonly around?: string | undefined;
}

export interface DurableObjects {
  /**
   * The classes that the script would implement after an upload with this metadata. Throws the documented errors for
   * migrations that do not fit the script's state and for bindings to classes that would not exist. Changes nothing.
   */
  preview(
    script: ScriptRef,
    lifecycle: ClassLifecycle,
    bindings: readonly BindingConfig[],
  ): Promise<readonly { readonly className: string; readonly sqlite: boolean }[]>;
  /** Namespaces of such classes, as workerd configuration of a process that only checks an upload. */
  previewNamespaces(classes: readonly { readonly className: string; readonly sqlite: boolean }[]): readonly DurableObjectNamespace[];
  /**
   * Validates the migrations of an upload against the script's current tag and records their result, inside the
   * transaction that makes the version current. `exportedClasses` is undefined when it is not known. Resolves with the
   * names of the scripts that objects were transferred from or to, whose processes must follow, and for `exports` with what
   * became of them, as the upload's answer tells it.
   */
  migrate(
    tx: MetaTransaction,
    script: ScriptRef,
    lifecycle: ClassLifecycle,
    exportedClasses: readonly string[] | undefined,
  ): Promise<{ readonly others: readonly string[]; readonly reconciliation?: unknown }>;
  /** The classes that the script implements, with the ids of their namespaces. */
  classes(script: ScriptRef): Promise<readonly { readonly className: string; readonly sqlite: boolean; readonly id: string }[]>;
  /**
   * Every namespace that the script implements, as workerd configuration of a version's process. `user` is the service that
   * has the classes. `split`: which version has which objects, undefined when one has all. Rejects when they are not
   * arranged so.
   */
  parts(worker: WorkerRef, user: string, split: ObjectSplit | undefined): Promise<WorkerdParts>;
  /** The exclusive groups of a version's process: no other may run on the same files. */
  groups(script: ScriptRef, split: ObjectSplit | undefined, versionId: string): Promise<readonly string[]>;
  /** What is to be done when the objects' files do not lie as the split wants them, while no process of the groups runs. */
  misplaced(
    script: ScriptRef,
    split: ObjectSplit | undefined,
  ): Promise<{ readonly groups: readonly string[]; arrange(): Promise<void> } | undefined>;
  /**
   * Modules to put before those of a Worker that implements Durable Objects, the first as the new main module: they give
   * its classes the documented limits that workerd does not enforce, and count what they use. Empty when it implements
   * none. They need AsyncLocalStorage.
   */
  modules(worker: WorkerRef, code: ObjectCode, split: ObjectSplit | undefined): Promise<readonly Module[]>;
  /**
   * Ends what runs in the objects of a process that must let go of them, with the error that the real service gives when an
   * object's code was updated. `socket` gives the path of the process's sockets.
   */
  reset(socket: (name: string) => string): Promise<void>;
  /**
   * Counts what the objects of a script's process used since the last call for the process. `cpuMs`: what the process's
   * thread ran since then.
   */
  meter(script: ScriptRef, socket: (name: string) => string, cpuMs: number): Promise<void>;
  /** Registers who reaches the process that serves a script's objects, or a version's, for what the platform itself does in them. */
  reachedBy(lease: (script: string, versionId?: string) => Promise<{ socket(name: string): string; release(): void }>): void;
  /** The script and class that a namespace belongs to now; undefined when there is no such namespace. */
  namespace(id: string): Promise<{ readonly scriptId: string; readonly scriptName: string; readonly className: string } | undefined>;
  /** Registers who knows the account's scripts. */
  scriptsBy(find: (name: string) => ScriptRef | undefined): void;
  /** Tag of the last migration that was applied. */
  migrationTag(script: ScriptRef): Promise<string | undefined>;
  /** Name of the directory service in which the objects live, for `durableObjectStorage`. */
  readonly storageService: string;
  /** The next due alarm of the objects that a version has, in milliseconds since the epoch, or undefined. Reads files only. */
  nextAlarm(script: ScriptRef, split: ObjectSplit | undefined, versionId: string): Promise<number | undefined>;
  /** Forgets that alarm; resolves with the object's id. No process of the version may run. */
  dropNextAlarm(script: ScriptRef, split: ObjectSplit | undefined, versionId: string): Promise<string | undefined>;
  /** The script goes in this transaction, and its namespaces with it. */
  removeScript(tx: MetaTransaction, script: ScriptRef): Promise<void>;
  /** Deletes the files of namespaces that are gone. Called after the commit, when no process uses them any more. */
  sweep(script: ScriptRef): Promise<void>;
}
