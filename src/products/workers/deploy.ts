/**
 * From an upload to a version, and from versions to a deployment. The order is: check, store the bytes, run the code in
 * a probe, then one transaction whose commit makes the new state visible. Whatever fails before leaves the old state.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import { platformError } from "../../kernel/errors.ts";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import type { BindingConfig, WorkerRef } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import type { Annotations, DeploymentContent, ScriptSettings, StoredModule, Version, VersionContent } from "./model.ts";
import { assetScope, namespaceOf, plainName, userWorkerName } from "./owner.ts";
import { probe } from "./probe.ts";
import { type PlanContext, workerRef } from "./process.ts";
import { mainModule } from "./python/modules.ts";
import type { Routing } from "./routing.ts";
import type { Serving } from "./serving.ts";
import type { LiveScript, ScriptStore } from "./store.ts";
import type { Upload, UploadModule } from "./upload.ts";

export interface Deployer {
  /** Uploads a version; with `deploy` it becomes the current deployment in the same transaction. */
  upload(
    name: string,
    upload: Upload,
    options: UploadOptions,
  ): Promise<{ live: LiveScript | undefined; version: Version; reconciliation?: unknown }>;
  /** A new version that differs from the latest in its bindings, deployed at once: how secrets change. */
  editBindings(name: string, edit: EditBindings): Promise<Version>;
  /** The same without a deployment, for a Worker whose versions are rolled out by hand. */
  editLatest(name: string, edit: EditBindings, annotations: Annotations): Promise<Version>;
  /** Checks and probes an upload that is to become no version: for previews. */
  draft(name: string, upload: Upload): Promise<Draft>;
  deploy(name: string, content: DeploymentContent): Promise<LiveScript>;
  patchSettings(name: string, change: Partial<ScriptSettings>): Promise<LiveScript>;
  remove(name: string): Promise<void>;
  /** Deletes the static assets that the user Workers of a namespace shared, which has none any more. */
  removeSharedAssets(namespace: string): Promise<void>;
}

export interface Draft {
  readonly versionId: string;
  readonly content: VersionContent;
  /** Deletes its bytes, when no process reads them any more. */
  discard(): Promise<void>;
}

type EditBindings = (bindings: readonly BindingConfig[]) => readonly BindingConfig[];

export interface UploadOptions {
  readonly deploy: boolean;
  /** "wrangler", "api", … */
  readonly source: string;
  /** The Worker is another product's: it bears a name that no user's can have, and does not count among theirs. */
  readonly owned?: true | undefined;
  /** Of a user Worker: its namespace trusts it. */
  readonly trusted?: boolean;
}

/** Compatibility date of an upload without one, as documented. */
const DEFAULT_COMPATIBILITY_DATE = "2021-11-02";
const VARIABLES_MAX = 128;
/** Events that a script in service-worker syntax may listen to. */
const EVENTS: ReadonlySet<string> = new Set(["fetch", "scheduled", "queue", "email", "tail", "trace", "alarm"]);
const NAME = /^[a-z0-9_][a-z0-9_-]{0,62}$/;

/** Throws `workers.invalidName`. */
export function checkName(name: string): void {
  if (!NAME.test(name)) throw workersError("invalidName");
}

/** `previewed`: manifests of static assets that are in use besides those of deployed versions. */
export function createDeployer(
  context: PlanContext,
  store: ScriptStore,
  serving: Serving,
  routing: Routing,
  previewed: () => readonly string[],
): Deployer {
  const { kernel, assets, durableObjects } = context;
  const { meta, leases, config } = kernel;
  /** One change of a script at a time. */
  const exclusively = oneAtATime();

  /** The bytes as a blob, shared with equal bytes of the same script. `fresh` collects what no row names yet. */
  async function storeBytes(
    script: string,
    bytes: Uint8Array,
    fresh: Map<string, { blob: BlobId; size: number }>,
  ): Promise<{ blob: BlobId; hash: string; size: number }> {
    const hash = createHash("sha256").update(bytes).digest("hex");
    const row = await meta.get<{ blob: string; size: number }>(
      "SELECT blob, size FROM workers_blobs WHERE script_name = ? AND hash = ?",
      script,
      hash,
    );
    if (row !== undefined) return { blob: row.blob as BlobId, hash, size: row.size };
    let stored = fresh.get(hash);
    if (stored === undefined) {
      stored = { blob: await leases.put(bytes), size: bytes.byteLength };
      fresh.set(hash, stored);
    }
    return { ...stored, hash };
  }

  async function nameBlobs(tx: MetaTransaction, script: string, fresh: ReadonlyMap<string, { blob: BlobId; size: number }>): Promise<void> {
    for (const [hash, { blob, size }] of fresh) {
      await tx.run("INSERT INTO workers_blobs (script_name, hash, blob, size) VALUES (?, ?, ?, ?)", script, hash, blob, size);
      await leases.settle(tx, blob);
    }
  }

  /** The blobs of a script, which no row names any more after the transaction. */
  async function releaseBlobs(tx: MetaTransaction, scope: string): Promise<BlobId[]> {
    const rows = await tx.all<{ blob: BlobId }>("SELECT blob FROM workers_blobs WHERE script_name = ?", scope);
    await tx.run("DELETE FROM workers_blobs WHERE script_name = ?", scope);
    for (const { blob } of rows) await leases.revoke(tx, blob);
    return rows.map(({ blob }) => blob);
  }

  /** Replaces `inherit` bindings and adds the kept ones of the previous version. */
  function resolveInherited(upload: Upload, previous: Version | undefined): BindingConfig[] {
    const old = new Map((previous?.bindings ?? []).map((b) => [b.name, b]));
    const resolved = upload.bindings.map((binding) => {
      if (binding.type !== "inherit") return binding;
      const from = old.get(typeof binding.old_name === "string" ? binding.old_name : binding.name);
      if (from === undefined)
        throw workersError(
          "invalidInherit",
          `inherit binding '${binding.name}' is invalid: previous version does not have binding named '${binding.name}'`,
        );
      return { ...from, name: binding.name };
    });
    const names = new Set(resolved.map((b) => b.name));
    const keep = new Set(upload.metadata.keep_bindings);
    for (const binding of old.values()) if (keep.has(binding.type) && !names.has(binding.name)) resolved.push(binding);
    return resolved;
  }

  async function validateBindings(bindings: readonly BindingConfig[], worker: WorkerRef): Promise<BindingConfig[]> {
    const variables = bindings.filter((b) => b.type === "plain_text" || b.type === "secret_text" || b.type === "json");
    if (variables.length > VARIABLES_MAX) throw workersError("tooManyVariables");
    const validated: BindingConfig[] = [];
    for (const binding of bindings) {
      const checked = await kernel.bindings.get(binding.type).validate(binding, worker);
      validated.push(binding.raw === true ? { ...checked, raw: true } : checked);
    }
    return validated;
  }

  async function resolveAssets(upload: Upload, name: string, previous: Version | undefined): Promise<VersionContent["assets"]> {
    const { metadata } = upload;
    if (metadata.assets?.jwt !== undefined)
      return { manifest: await assets.completed(metadata.assets.jwt, name), config: metadata.assets.config };
    if (previous?.assets === undefined) return undefined;
    if (metadata.keep_assets) return { manifest: previous.assets.manifest, config: metadata.assets?.config ?? previous.assets.config };
    return undefined;
  }

  function checkSize(modules: readonly UploadModule[]): void {
    const size = modules.reduce((sum, module) => sum + (module.kind === "source-map" ? 0 : module.bytes.byteLength), 0);
    const limit = config["workers.script_max_bytes"];
    if (size > limit) throw workersError("tooLarge", `Your Worker exceeded the size limit of ${Math.floor(limit / 1024 / 1024)} MiB.`);
  }

  /** Throws `workers.notFound`. */
  async function required(name: string): Promise<LiveScript> {
    const live = await store.find(name);
    if (live === undefined) throw workersError("notFound");
    return live;
  }

  /** Whether the account may have one more Worker; namespaces and other products may have any number. */
  const isFull = (name: string): boolean => namespaceOf(name) === undefined && store.all().length >= config["workers.count_max"];

  async function prepare(name: string, upload: Upload, { source, owned, trusted }: Omit<UploadOptions, "deploy">): Promise<Prepared> {
    if (owned !== true) checkName(plainName(name));
    const containers = containerClasses(upload);
    checkSize(upload.modules);
    if (upload.modules.some(({ kind }) => kind === "python-requirement"))
      throw workersError(
        "validation",
        "Python packages come with the Worker, in python_modules (pywrangler sync), not by a list of requirements.",
      );
    const live = await store.find(name);
    if (live === undefined && owned !== true && isFull(name)) throw workersError("tooMany");
    const script = { id: live?.script.id ?? randomBytes(16).toString("hex"), name };
    const previous = live && (await store.latestVersion(live.script.id));
    const { metadata } = upload;
    const versionId = randomUUID();
    const fresh: Prepared["fresh"] = new Map();
    try {
      const resolved = resolveInherited(upload, previous);
      const classes = await durableObjects.preview(script, metadata, resolved);
      const bindings = await validateBindings(resolved, workerRef(context, script, versionId));
      const modules: StoredModule[] = [];
      for (const { name: moduleName, kind, bytes } of upload.modules) {
        modules.push({ name: moduleName, kind, ...(await storeBytes(name, bytes, fresh)) });
      }
      for (const [i, binding] of bindings.entries()) {
        const part = upload.parts.get(binding.part as string);
        if (part !== undefined) bindings[i] = { ...binding, ...(await storeBytes(name, part, fresh)) };
      }
      const assetsOf = await resolveAssets(upload, name, previous);
      if (bindings.some((b) => b.type === "assets") && assetsOf === undefined) {
        throw workersError("validation", "The Worker has an assets binding, but no assets were uploaded.");
      }
      const code = modules.filter((module) => module.kind !== "source-map");
      const content: VersionContent = {
        syntax: syntaxOf(code, metadata.main_module),
        main: code[0]?.name ?? "",
        modules,
        compatibilityDate: metadata.compatibility_date ?? DEFAULT_COMPATIBILITY_DATE,
        compatibilityFlags: metadata.compatibility_flags,
        bindings,
        handlers: [],
        exports: [],
        ...(assetsOf && { assets: assetsOf }),
        ...(trusted === true && { trusted }),
        ...(containers.length > 0 && { containers }),
        limits: metadata.limits ?? undefined,
        placement: metadata.placement,
        annotations: { ...metadata.annotations, "workers/triggered_by": live === undefined ? "create_version_api" : "version_upload" },
        source,
        etag: createHash("sha256")
          .update(JSON.stringify(modules.map((m) => [m.name, m.hash])))
          .digest("hex"),
        startupTimeMs: 1,
      };
      const draft: Version = { ...content, id: versionId, scriptId: script.id, number: 0, createdOn: kernel.clock.now() };
      return {
        script,
        live,
        classes,
        fresh,
        versionId,
        content: content.syntax === "none" ? content : await probed(script, draft, content, classes),
      };
    } catch (error) {
      await discard(fresh);
      throw error;
    }
  }

  /** A version without a deployment changes no classes. */
  async function checkUnchanged(script: Prepared["script"], classes: Prepared["classes"]): Promise<void> {
    const now = new Set((await durableObjects.classes(script)).map(({ className }) => className));
    const after = classes.map(({ className }) => className);
    if (after.length !== now.size || !after.every((name) => now.has(name))) throw workersError("versionUploadMigrations");
  }

  async function probed(
    script: Prepared["script"],
    draft: Version,
    content: VersionContent,
    classes: Prepared["classes"],
  ): Promise<VersionContent> {
    const { exports, startupTimeMs } = await probe(context, script, draft, classes);
    const main = exports.find((e) => e.name === "default");
    // An object is an entrypoint by its handlers; a class is one as it is.
    const usable = exports.some((e) => e.handlers.length > 0 || (e.name !== "default" && e.type !== "object"));
    if (!usable) throw workersError("noHandlers");
    const foreign = content.syntax === "service-worker" ? (main?.handlers ?? []).filter((name) => !EVENTS.has(name)) : [];
    if (foreign.length > 0) throw workersError("unsupportedHandlers", `Event handlers that are not supported: ${foreign.join(", ")}`);
    return { ...content, exports, handlers: main?.handlers ?? [], startupTimeMs };
  }

  /** Blobs that no row names, after a failure. */
  async function discard(fresh: Prepared["fresh"]): Promise<void> {
    for (const { blob } of fresh.values()) await leases.discard(blob);
  }

  /** The latest version's content with other bindings. */
  async function withBindings(
    live: LiveScript,
    edit: EditBindings,
    annotations: Annotations,
  ): Promise<{ from: Version; content: VersionContent }> {
    const latest = await store.latestVersion(live.script.id);
    if (latest === undefined) throw workersError("noVersions");
    const { id: _id, scriptId: _scriptId, number: _number, createdOn: _createdOn, ...content } = latest;
    return { from: latest, content: { ...content, bindings: edit(content.bindings), source: "secret", annotations } };
  }

  /** Moves the processes along with what was committed. */
  async function follow(name: string): Promise<LiveScript | undefined> {
    const after = await serving.follow(name);
    const used = store.all().flatMap(({ versions }) => versions.flatMap((v) => v.assets?.manifest ?? []));
    await assets.prune(new Set([...used, ...serving.manifests(), ...previewed()]));
    return after;
  }

  function checkConsumers(name: string, consumers: readonly { readonly service: string }[]): void {
    for (const { service } of consumers) {
      if (service !== name && store.listed(service) === undefined) {
        throw workersError("serviceNotFound", `Tail consumer '${service}' does not exist: deploy it before the Workers that it observes.`);
      }
    }
  }

  const settingsOf = (upload: Upload, old: ScriptSettings | undefined): ScriptSettings => ({
    logpush: upload.metadata.logpush ?? old?.logpush ?? false,
    observability: upload.metadata.observability ?? null,
    tail_consumers: upload.metadata.tail_consumers ?? [],
    streaming_tail_consumers: upload.metadata.streaming_tail_consumers ?? [],
    tags: upload.metadata.tags ?? old?.tags ?? [],
  });

  return {
    upload: (name, upload, { deploy, ...options }) =>
      exclusively(name, async () => {
        const { source } = options;
        if (!deploy && upload.metadata.migrations !== undefined) throw workersError("versionUploadMigrations");
        checkConsumers(name, [...(upload.metadata.tail_consumers ?? []), ...(upload.metadata.streaming_tail_consumers ?? [])]);
        const { script, live, fresh, versionId, content, classes } = await prepare(name, upload, options);
        if (!deploy && upload.metadata.exports !== undefined) await checkUnchanged(script, classes);
        const exported = mainModule(content) === undefined ? undefined : content.exports.map((e) => e.name);
        const { version, others, reconciliation } = await meta
          .transaction(async (tx) => {
            await store.ensureScript(tx, script.id, name, source);
            await nameBlobs(tx, name, fresh);
            if (content.assets !== undefined)
              await tx.run("UPDATE workers_asset_manifests SET used = 1 WHERE id = ?", content.assets.manifest);
            const migrated = deploy ? await durableObjects.migrate(tx, script, upload.metadata, exported) : { others: [] };
            const added = await store.addVersion(tx, script.id, versionId, content);
            if (deploy) {
              await store.updateScript(script.id, { settings: settingsOf(upload, live?.script.settings) }, tx);
              const versions = [{ version_id: versionId, percentage: 100 }];
              // The deployment row makes the version the one that serves.
              await store.addDeployment(tx, script.id, { versions, annotations: content.annotations, source });
            }
            return { version: added, ...migrated };
          })
          .catch(async (error: unknown) => {
            await discard(fresh);
            throw error;
          });
        // Workers that objects came from go on without their files, which this one waits for, and those that get some have them.
        for (const other of others) await serving.follow(other);
        const after = deploy ? await follow(name) : live;
        if (deploy) await durableObjects.sweep(script);
        return { live: after, version, reconciliation };
      }),

    editBindings: (name, edit) =>
      exclusively(name, async () => {
        const live = await required(name);
        const annotations = { "workers/triggered_by": "secret" };
        const changed = await withBindings(live, edit, annotations);
        if (!live.versions.some((version) => version.id === changed.from.id)) throw workersError("latestNotDeployed");
        const version = await meta.transaction(async (tx) => {
          const added = await store.addVersion(tx, live.script.id, randomUUID(), changed.content);
          const versions = [{ version_id: added.id, percentage: 100 }];
          await store.addDeployment(tx, live.script.id, { versions, annotations, source: "secret" });
          return added;
        });
        await follow(name);
        return version;
      }),

    editLatest: (name, edit, annotations) =>
      exclusively(name, async () => {
        const live = await required(name);
        const { content } = await withBindings(live, edit, { ...annotations, "workers/triggered_by": "secret" });
        return meta.transaction((tx) => store.addVersion(tx, live.script.id, randomUUID(), content));
      }),

    draft: (name, upload) =>
      exclusively(name, async () => {
        const { fresh, versionId, content } = await prepare(name, upload, { source: "preview" });
        return { versionId, content, discard: () => discard(fresh) };
      }),

    deploy: (name, content) =>
      exclusively(name, async () => {
        const live = await required(name);
        const { versions } = content;
        const sum = versions.reduce((total, v) => total + v.percentage, 0);
        const distinct = new Set(versions.map((v) => v.version_id)).size === versions.length;
        if (versions.length < 1 || versions.length > 2 || sum !== 100 || !distinct || versions.some((v) => v.percentage < 0)) {
          throw workersError("invalidDeployment");
        }
        for (const { version_id } of versions) {
          if ((await store.version(live.script.id, version_id)) === undefined) {
            throw workersError("versionNotFound", `Version ${version_id} was not found for Worker "${name}".`);
          }
        }
        await meta.transaction(async (tx) => {
          await store.ensureScript(tx, live.script.id, name, content.source);
          await store.addDeployment(tx, live.script.id, content);
        });
        return (await follow(name)) as LiveScript;
      }),

    patchSettings: (name, change) =>
      exclusively(name, async () => {
        const live = await required(name);
        checkConsumers(name, [...(change.tail_consumers ?? []), ...(change.streaming_tail_consumers ?? [])]);
        await store.updateScript(live.script.id, { settings: { ...live.script.settings, ...change } });
        return (await follow(name)) as LiveScript;
      }),

    async removeSharedAssets(namespace) {
      const scope = assetScope(userWorkerName(namespace, ""));
      const blobs = await meta.transaction((tx) => releaseBlobs(tx, scope));
      for (const blob of blobs) await leases.discard(blob);
    },

    remove: (name) =>
      exclusively(name, async () => {
        const live = await required(name);
        const { script } = live;
        const blobs = await meta.transaction(async (tx) => {
          const released = await releaseBlobs(tx, name);
          await tx.run("DELETE FROM workers_asset_manifests WHERE script_name = ?", name);
          await routing.removeScript(tx, script.id);
          await store.removeScript(tx, script.id);
          await durableObjects.removeScript(tx, script);
          return released;
        });
        routing.forget(script.id);
        await follow(name);
        await durableObjects.sweep(script);
        for (const blob of blobs) await leases.discard(blob);
      }),
  };
}

/** The classes to which the upload gives a container. */
function containerClasses({ metadata }: Upload): string[] {
  return (metadata.containers ?? []).map(({ class_name: name, images }) => {
    if (name === undefined || images !== undefined)
      throw platformError(
        "notImplemented",
        "Containers that Durable Objects choose by name are not implemented by this version of Freehold",
      );
    return name;
  });
}

function syntaxOf(code: readonly StoredModule[], mainModule: string | undefined): VersionContent["syntax"] {
  if (code[0] === undefined) return "none";
  if (mainModule === undefined) return "service-worker";
  return code[0].kind === "python" ? "python" : "modules";
}

interface Prepared {
  readonly script: { readonly id: string; readonly name: string };
  readonly live: LiveScript | undefined;
  readonly classes: readonly { readonly className: string; readonly sqlite: boolean }[];
  readonly fresh: Map<string, { blob: BlobId; size: number }>;
  readonly versionId: string;
  readonly content: VersionContent;
}
