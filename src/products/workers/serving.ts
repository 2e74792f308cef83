/**
 * Which processes serve which Worker. Each version of a script's current deployment is one process of the runtime; a
 * script with Durable Objects has one process at a time, since they share the objects' files. A user Worker has a process
 * for each outbound Worker that those who call it name: where its fetch() goes is fixed for the life of a process.
 */
import { isDeepStrictEqual } from "node:util";
import type { TelemetryRates } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { ObjectSplit } from "../../kernel/object-split.ts";
import type { Lease, ProcessSpec } from "../../kernel/workerd/runtime.ts";
import type { CpuMeter } from "./cpu-meter.ts";
import { workersError } from "./errors.ts";
import { cpuMsOf } from "./limits.ts";
import { EXCLUSIVE_DRAIN_MS, type Links } from "./links.ts";
import type { Script, Version } from "./model.ts";
import { namespaceOf } from "./owner.ts";
import { type Entry, EVENTS, entryName, entryOfWorker, type PlanContext, planProcess } from "./process.ts";
import { entryOf, serviceBindingsOf } from "./service-bindings.ts";
import type { LiveScript, ScriptStore } from "./store.ts";

export interface Serving {
  /** A lease on a process of the script's current deployment, whoever's it is; throws `workers.notFound`. */
  lease(scriptName: string, choice?: Choice): Promise<VersionLease>;
  /** A lease on one version, deployed or not. */
  leaseVersion(live: LiveScript, version: Version): Promise<VersionLease>;
  /**
   * Follows a commit: prepares the processes of the new state, makes it the live one, and retires those of the old. When
   * the old state was at work, the new processes serve before the switch.
   */
  follow(name: string): Promise<LiveScript | undefined>;
  /** What a stop may have left undone; before any process starts. */
  arrangeObjects(): Promise<void>;
  /** Replaces the script's processes, with or without traces. */
  setTailed(scriptId: string, tailed: boolean): Promise<void>;
  /** Replaces the script's processes if its routes have moved to other zones. */
  rerouted(scriptId: string): Promise<void>;
  /** Whether user code of the process can be seen by live tails now. */
  tailed(scriptId: string): boolean;
  /** Manifests of static assets that processes may read. */
  manifests(): string[];
  /** The id of the process that serves a version, of several the one that was defined last. */
  processOf(versionId: string): string;
}

export interface Choice {
  /** Always picks the same one of several deployed versions. */
  readonly key?: string | undefined;
  /** A version's id, if it is deployed. */
  readonly version?: string | undefined;
  /** Of a user Worker: the Worker of the account that its fetch() goes to. */
  readonly outbound?: string | undefined;
}

export interface VersionLease extends Lease {
  readonly version: Version;
  /** The process must be gone before its successor starts: work on it should end soon when it is retired. */
  readonly exclusive: boolean;
}

interface Defined {
  readonly id: string;
  readonly version: Version;
  readonly settings: {
    readonly tailed: boolean;
    readonly entries: readonly string[];
    /** Groups of Durable Objects whose files the process owns. */
    readonly exclusive: readonly string[];
    readonly split: ObjectSplit | undefined;
    readonly consumers: readonly string[];
    readonly streamConsumers: readonly string[];
    readonly zones: readonly string[];
    readonly telemetry: TelemetryRates | undefined;
    readonly outbound: string | undefined;
    readonly takesOutbound: boolean;
  };
}

interface DefineOptions {
  /** A Worker as it will be after the change that is under way. */
  readonly upcoming?: LiveScript;
  readonly outbound?: string | undefined;
}

/** User Workers whose processes are defined: more than can run at a time. */
const USER_WORKERS_DEFINED = 2_000;

/** How often what objects used is taken from their processes. */
const METER_MS = 10_000;
/** Time that answers get between the reset of objects and the end of their process. */
const WRAP_UP_MS = 1_000;

export const processId = (version: Pick<Version, "id">, outbound?: string): string =>
  outbound === undefined ? `w-${version.id}` : `w-${version.id}-${outbound}`;

/** `zonesOf`: names of the zones that a script has routes in, sorted. */
export function createServing(
  context: PlanContext,
  store: ScriptStore,
  links: () => Links,
  zonesOf: (scriptId: string) => readonly string[],
  cpu: CpuMeter,
): Serving {
  const { kernel, durableObjects } = context;
  const { runtime, log } = kernel;
  const tailedScripts = new Set<string>();
  const defined = new Map<string, Defined>();
  /** Those of `defined` that are user Workers', the one that was used last at the end. */
  const userProcesses = new Set<string>();

  /** Entries with props that other Workers' current versions bind. */
  function entriesOf(target: string, upcoming?: LiveScript): Entry[] {
    const found = new Map<string, Entry>();
    for (const { versions } of upcoming === undefined ? store.everyone() : [...store.everyone(), upcoming]) {
      for (const binding of versions.flatMap(serviceBindingsOf)) {
        const entry = entryOf(binding);
        if (binding.service === target && entry.props !== undefined) found.set(entryName(entry), entry);
      }
    }
    return [...found.values()];
  }

  /** Whether a binding of another Worker makes the Worker the outbound one of those that it calls. */
  function takesOutbound(target: string, upcoming?: LiveScript): boolean {
    const all = upcoming === undefined ? store.all() : [...store.all(), upcoming];
    return all.some(({ versions }) => versions.some((version) => outboundsOf(version).includes(target)));
  }

  const outboundsOf = (version: Version): string[] => version.bindings.flatMap((b) => kernel.bindings.get(b.type).outbound?.(b) ?? []);

  /** The namespaces whose user Workers the Worker calls. */
  const dispatchedBy = (live: LiveScript | undefined): Set<string | undefined> =>
    new Set((live?.versions ?? []).flatMap((version) => version.bindings).map((b) => kernel.bindings.get(b.type).dispatchesTo?.(b)));

  /** A Worker's Tail Workers, sorted; a user Worker's are those of the Workers that call it, too. */
  function consumersOf(script: Script, kind: "tail_consumers" | "streaming_tail_consumers"): string[] {
    const namespace = namespaceOf(script.name);
    const callers = namespace === undefined ? [] : store.all().filter((live) => dispatchedBy(live).has(namespace));
    const all = [script, ...callers.map((live) => live.script)].flatMap(({ settings }) => settings[kind]);
    return [...new Set(all.map(({ service }) => service))].sort();
  }

  /** Processes of user Workers follow the Tail Workers of who calls them. */
  async function retail(callers: readonly (LiveScript | undefined)[]): Promise<void> {
    const namespaces = new Set(callers.flatMap((caller) => [...dispatchedBy(caller)]));
    for (const { id, version, settings } of [...defined.values()]) {
      const live = store.liveById(version.scriptId);
      const namespace = live && namespaceOf(live.script.name);
      // It may have been retired since the round began.
      if (live === undefined || namespace === undefined || !namespaces.has(namespace) || !defined.has(id)) continue;
      await define(live, version, { outbound: settings.outbound });
    }
  }

  async function define(live: LiveScript, version: Version, { upcoming, outbound }: DefineOptions = {}): Promise<string> {
    const id = processId(version, outbound);
    const { script } = live;
    const entries = entriesOf(script.name, upcoming);
    const split = splitOf(live);
    const exclusive = await durableObjects.groups(script, split, version.id);
    // A Worker with Durable Objects is tailed from the start: replacing its process for a tail would drop its WebSockets.
    const tailed = tailedScripts.has(script.id) || exclusive.length > 0;
    const consumers = consumersOf(script, "tail_consumers");
    const streamConsumers = consumersOf(script, "streaming_tail_consumers");
    const zones = zonesOf(script.id);
    const telemetry = context.telemetry.plan(script.settings.observability);
    const settings = {
      tailed,
      entries: entries.map(entryName).sort(),
      exclusive,
      split,
      consumers,
      streamConsumers,
      zones,
      telemetry,
      outbound,
      takesOutbound: takesOutbound(script.name, upcoming),
    };
    const known = defined.get(id);
    if (known !== undefined && isDeepStrictEqual(known.settings, settings)) return id;
    const spec: ProcessSpec = {
      id,
      label: script.name,
      async plan(socket) {
        const reached = (names: readonly string[]) =>
          Promise.all(names.map(async (name) => ({ name, path: await context.link(entryOfWorker(name, {})) })));
        const tailWorkers = { consumers: await reached(consumers), streamConsumers: await reached(streamConsumers) };
        const plan = { script, version, entries, split, tailed, zones, telemetry, outbound, takesOutbound: settings.takesOutbound };
        return planProcess(context, { ...plan, ...tailWorkers }, socket);
      },
      ...(version.syntax !== "none" && { limits: { cpuMs: cpuMsOf(version, kernel.config), aliveSocket: EVENTS } }),
      ...(exclusive.length > 0 && {
        exclusive,
        busyUntil: async () =>
          context.awake.some((busy) => busy(script.id)) ? kernel.clock.now() : durableObjects.nextAlarm(script, split, version.id),
        meter: { everyMs: METER_MS, run: (socket) => durableObjects.meter(script, socket, cpu.since(id, "objects")) },
        // A little before requests are cut, so that their answers can still say why.
        wrapUp: { afterMs: EXCLUSIVE_DRAIN_MS - WRAP_UP_MS, run: (socket) => durableObjects.reset(socket) },
      }),
      output: (stream, line) => log.info("worker.output", { worker: script.name, stream, line }),
    };
    // The objects' files are one process's: one with another way out must end.
    if (exclusive.length > 0) for (const other of processesOf(version)) if (other.id !== id) await forget(other);
    defined.set(id, { id, version, settings });
    runtime.define(spec);
    return id;
  }

  /** Keeps the definitions of user Workers, which may be any number, to those that were used last. */
  async function used(id: string): Promise<void> {
    userProcesses.delete(id);
    userProcesses.add(id);
    if (userProcesses.size <= USER_WORKERS_DEFINED) return;
    const running = new Set(runtime.list().map((info) => info.id));
    const idle = [...userProcesses].find((other) => !running.has(other));
    if (idle !== undefined) await forget(defined.get(idle) as Defined);
  }

  const processesOf = (version: Pick<Version, "id">): Defined[] => [...defined.values()].filter((other) => other.version.id === version.id);

  async function forget({ id }: Defined): Promise<void> {
    defined.delete(id);
    userProcesses.delete(id);
    await runtime.remove(id);
  }

  async function leaseOf(live: LiveScript, version: Version, outbound?: string): Promise<VersionLease> {
    const id = processId(version, outbound);
    if (!defined.has(id)) await define(live, version, { outbound });
    if (namespaceOf(live.script.name) !== undefined) await used(id);
    const lease = await runtime.lease(id);
    const exclusive = (defined.get(id)?.settings.exclusive ?? []).length > 0;
    return { ...lease, version, exclusive };
  }

  async function retire(version: Version): Promise<void> {
    await Promise.all(processesOf(version).map(forget));
  }

  /** Ready before it is needed, so that the switch costs no request anything. */
  async function prewarm(live: LiveScript, version: Version, outbound?: string): Promise<void> {
    try {
      (await leaseOf(live, version, outbound)).release();
    } catch (error) {
      // The row is committed: the next request tries again and shows the error.
      log.warn("worker.prewarm_failed", { worker: live.script.name, error });
    }
  }

  /** Targets that a new version binds with props get the socket for it, and those that it sends user Workers' fetch() to. */
  async function defineTargets(upcoming: LiveScript): Promise<void> {
    const services = upcoming.versions.flatMap(serviceBindingsOf).map((b) => b.service as string);
    const targets = new Set([...services, ...upcoming.versions.flatMap(outboundsOf)]);
    for (const target of targets) {
      const live = target === upcoming.script.name ? undefined : store.live(target);
      for (const version of live?.versions ?? [])
        if (defined.has(processId(version))) await define(live as LiveScript, version, { upcoming });
    }
  }

  const serving: Serving = {
    async lease(scriptName, choice = {}) {
      for (let attempt = 0; ; attempt++) {
        const live = await store.find(scriptName);
        const version = live && pick(live, choice);
        if (live === undefined || version === undefined) throw workersError("notFound");
        try {
          return await leaseOf(live, version, choice.outbound);
        } catch (error) {
          // A deploy may have retired the process between the choice and the lease.
          const moved = store.known(scriptName)?.deployment?.id !== live.deployment?.id;
          if (!moved || attempt >= 3 || !(error instanceof PlatformError)) throw error;
        }
      }
    },
    leaseVersion: (live, version) => leaseOf(live, version),
    async follow(name) {
      const before = store.known(name);
      const after = await store.read(name);
      const kept = new Set(after?.versions.map((v) => v.id));
      const gone = (before?.versions ?? []).filter((version) => !kept.has(version.id));
      const running = new Set(runtime.list().map((info) => info.id));
      const atWork = gone.flatMap(processesOf).filter(({ id }) => running.has(id));
      const ways = new Set(atWork.map(({ settings }) => settings.outbound));
      const misplaced = after && (await durableObjects.misplaced(after.script, splitOf(after)));
      // Its turn comes before that of any process which is defined from here on; those that are retired end before it.
      const arranged = misplaced && runtime.alone(misplaced.groups, misplaced.arrange);
      arranged?.catch(() => undefined);
      if (after !== undefined) {
        await defineTargets(after);
        for (const version of after.versions) {
          for (const outbound of namespaceOf(name) === undefined ? [undefined] : ways) {
            const id = await define(after, version, { upcoming: after, outbound });
            const exclusive = defined.get(id)?.settings.exclusive ?? [];
            if (atWork.length > 0 && exclusive.length === 0) await prewarm(after, version, outbound);
          }
        }
      }
      store.remember(name, after);
      await retail([before, after]);
      if (gone.length > 0) links().moved(name);
      const retired = gone.map(retire);
      // A deploy need not wait: they end when their requests have. The files of a deleted Worker are wanted back.
      if (after === undefined) await Promise.all(retired);
      else for (const end of retired) end.catch((error: unknown) => log.error("worker.retire_failed", { worker: name, error }));
      await arranged;
      return after;
    },
    async arrangeObjects() {
      for (const live of store.all()) await (await durableObjects.misplaced(live.script, splitOf(live)))?.arrange();
    },
    async setTailed(scriptId, tailed) {
      if (tailedScripts.has(scriptId) === tailed) return;
      if (tailed) tailedScripts.add(scriptId);
      else tailedScripts.delete(scriptId);
      const live = store.liveById(scriptId);
      // Without a tail the process goes on as it is; it is replaced when it stops by itself.
      if (live === undefined || !tailed) return;
      for (const version of live.versions) {
        await define(live, version);
        await prewarm(live, version);
      }
      links().moved(live.script.name);
    },
    async rerouted(scriptId) {
      const live = store.liveById(scriptId);
      for (const version of live?.versions ?? []) if (defined.has(processId(version))) await define(live as LiveScript, version);
    },
    tailed: (scriptId) => tailedScripts.has(scriptId),
    manifests: () => [...defined.values()].flatMap(({ version }) => version.assets?.manifest ?? []),
    processOf: (versionId) => processesOf({ id: versionId }).at(-1)?.id ?? processId({ id: versionId }),
  };
  return serving;
}

/** How a gradual deployment shares the script's Durable Objects. Those of the older version stay where all of them were. */
export function splitOf({ deployment, versions }: LiveScript): ObjectSplit | undefined {
  const [first, second] = versions;
  if (deployment === undefined || first === undefined || second === undefined) return undefined;
  return {
    shares: deployment.versions.map(({ version_id: versionId, percentage }) => ({ versionId, percentage })),
    home: first.number < second.number ? first.id : second.id,
  };
}

/** The version that serves a request: the chosen one, or one by percentage. */
function pick(live: LiveScript, { key, version: wanted }: Choice): Version | undefined {
  const { deployment, versions } = live;
  if (versions.length <= 1 || deployment === undefined) return versions[0];
  const named = wanted === undefined ? undefined : versions.find(({ id }) => id === wanted);
  if (named !== undefined) return named;
  let point = (key === undefined ? Math.random() : hashOf(key)) * 100;
  for (const { version_id, percentage } of deployment.versions) {
    point -= percentage;
    if (point < 0) return versions.find((version) => version.id === version_id) ?? versions[0];
  }
  return versions[0];
}

/** FNV-1a, spread over [0, 1). */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash / 2 ** 32;
}
