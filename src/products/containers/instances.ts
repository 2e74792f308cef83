/**
 * Instances: the containers that run now, each attached to one Durable Object. The engine has the truth; what is known of
 * each lies in its labels, so that a platform which was killed finds its containers again. A start never rejects: an
 * instance that could not be placed has ended with the reason, which its object hears where it waits for the instance.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { KernelSlice } from "../../kernel/product.ts";
import { type Application, type Applications, maxInstances } from "./applications.ts";
import type { Engine } from "./engine.ts";
import { closeInterface, forgetInterface } from "./host-firewall.ts";
import type { Resources } from "./instance-types.ts";
import { type ObjectKey, objectKey } from "./object-key.ts";

/** What the object said at `start()`. */
export interface StartOptions {
  readonly env: readonly string[];
  readonly entrypoint?: readonly string[] | undefined;
  readonly internet: boolean;
}

/** How an instance ended: of itself or by a signal, or because it never came to be. */
export type End = { readonly exitCode: number; readonly reason: "exit" | "oom" | "destroyed" | "lost" } | { readonly failure: string };

export interface Instance {
  readonly id: string;
  readonly object: ObjectKey;
  readonly scriptId: string;
  readonly applicationId: string;
  readonly version: number;
  readonly resources: Resources;
  readonly startedAt: number;
  /** The engine's id of it, once there is one. */
  readonly containerId: string | undefined;
  /** Address of its network interface; empty until it runs. */
  readonly address: string;
  readonly stopping: boolean;
  /** How it ended, once it has. */
  readonly end: End | undefined;
  readonly ended: Promise<End>;
}

export interface Instances {
  /** Starts an instance for the object. Resolves when it runs, or has ended with a failure. */
  start(object: ObjectKey, scriptId: string, options: StartOptions): Promise<Instance>;
  /** The object's instance that was started last, running or not; undefined when there is none. */
  ofObject(object: ObjectKey): Instance | undefined;
  /** Instances that have not ended. */
  live(applicationId?: string): readonly Instance[];
  byId(id: string): Instance | undefined;
  signal(instance: Instance, signal: string): Promise<void>;
  /** SIGTERM now, SIGKILL when the time for it is over. Resolves when it has ended. */
  stop(instance: Instance): Promise<void>;
  /** Ends it at once. Resolves when it is gone. */
  destroy(instance: Instance): Promise<void>;
  /** The object's process has let go of it: it is stopped unless an object takes it up again in time. */
  letGo(instance: Instance): void;
  /** An object looks after it again. */
  takeUp(instance: Instance): void;
  /** Forgets an instance that has ended. */
  forget(object: ObjectKey): void;
  /** Whether a script's process has something to watch over. */
  busy(scriptId: string): boolean;
  /** Called with each instance that runs from now on, those found at the start included. */
  onRunning(listener: (instance: Instance) => void): void;
  /** Takes over what a former process left, and removes what nobody wants any more. */
  adopt(): Promise<void>;
  /** Ends every instance. */
  close(): Promise<void>;
}

/** The words by which the package `@cloudflare/containers` knows that it may try again later. */
const NO_INSTANCE = "there is no container instance that can be provided to this Durable Object";
const LABEL = "freehold.installation";
/** Processes of one instance. */
const PIDS_MAX = 8192;
const CLOSE_GRACE_MS = 2_000;
const WATCH_BACKOFF_MS = 1_000;

export interface InstancesOptions {
  readonly kernel: Pick<KernelSlice, "meta" | "clock" | "log" | "accountId" | "config">;
  readonly engine: Engine;
  readonly applications: Applications;
  /** Makes the image of an application one that the engine has; resolves with the engine's name for it. */
  readonly prepareImage: (image: string) => Promise<string>;
}

interface Running extends Instance {
  containerId: string | undefined;
  address: string;
  stopping: boolean;
  end: End | undefined;
  destroyed: boolean;
  outOfMemory: boolean;
  linger: NodeJS.Timeout | undefined;
  resolve: (end: End) => void;
}

export function openInstances({ kernel, engine, applications, prepareImage }: InstancesOptions): Instances {
  const { meta, clock, log, accountId, config } = kernel;
  const byObject = new Map<string, Running>();
  const listeners: ((instance: Instance) => void)[] = [];
  const closing = new AbortController();

  const live = (applicationId?: string): Running[] =>
    [...byObject.values()].filter(
      ({ end, applicationId: of }) => end === undefined && (applicationId === undefined || of === applicationId),
    );

  function instanceOf(
    base: Pick<Instance, "id" | "object" | "scriptId" | "applicationId" | "version" | "resources" | "startedAt">,
  ): Running {
    const { promise, resolve } = Promise.withResolvers<End>();
    return {
      ...base,
      containerId: undefined,
      address: "",
      stopping: false,
      destroyed: false,
      outOfMemory: false,
      linger: undefined,
      end: undefined,
      ended: promise,
      resolve,
    };
  }

  function finished(instance: Running, end: End): void {
    instance.end = end;
    instance.resolve(end);
  }

  async function start(object: ObjectKey, scriptId: string, options: StartOptions): Promise<Instance> {
    const application = applications.ofNamespace(object.namespaceId);
    const base = { id: randomUUID(), object, scriptId, startedAt: clock.now() };
    const isFull = application === undefined || live(application.id).length >= maxInstances(application);
    const instance = instanceOf({
      ...base,
      applicationId: application?.id ?? "",
      version: application?.version ?? 0,
      resources: application?.resources ?? { vcpu: 0, memoryMib: 0, diskMb: 0 },
    });
    // It counts from now on: two starts at a time must not both take the last place.
    byObject.set(object.text, instance);
    if (isFull || closing.signal.aborted) {
      finished(instance, { failure: NO_INSTANCE });
      return instance;
    }
    try {
      await place(instance, application, options);
    } catch (error) {
      log.warn("containers.start_failed", { application: application.name, object: object.text, error });
      if (instance.containerId !== undefined) await engine.remove(instance.containerId).catch(() => undefined);
      await recordEnd(instance, { failure: (error as Error).message });
      finished(instance, { failure: (error as Error).message });
    }
    return instance;
  }

  async function place(instance: Running, application: Application, options: StartOptions): Promise<void> {
    const image = await prepareImage(application.configuration.image);
    const network = networkName(!options.internet);
    await networkOf(network, !options.internet);
    const { id, object, version, resources, scriptId, startedAt } = instance;
    // The row first: usage counts from here, and a container without a row would be removed at the next start.
    await meta.run(
      `INSERT INTO containers_instances (id, application_id, script_id, object_key, version, vcpu, memory_mib, disk_mb, started_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      application.id,
      scriptId,
      object.text,
      version,
      resources.vcpu,
      resources.memoryMib,
      resources.diskMb,
      startedAt,
    );
    const memory = resources.memoryMib * 1024 * 1024;
    const container = await engine.create(`freehold-${id}`, {
      Image: image,
      Env: environment(instance, options.env),
      ...(options.entrypoint && { Entrypoint: options.entrypoint.slice(0, 1), Cmd: options.entrypoint.slice(1) }),
      Labels: { [LABEL]: accountId, "freehold.instance": id, "freehold.object": object.text },
      HostConfig: {
        NetworkMode: network,
        Memory: memory,
        // Equal to the memory: no swap.
        MemorySwap: memory,
        NanoCpus: Math.round(resources.vcpu * 1e9),
        PidsLimit: PIDS_MAX,
        Init: true,
        RestartPolicy: { Name: "no" },
        LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "2" } },
      },
    });
    instance.containerId = container;
    await engine.start(container);
    await look(instance, container);
  }

  const networks = new Map<string, Promise<void>>();
  const networkName = (internal: boolean): string => `freehold-${accountId.slice(0, 12)}-${internal ? "closed" : "internet"}`;
  let isClosed = false;
  let isUsed = false;

  /** Two calls at a time would make two networks of one name, which the engine then refuses to use. */
  async function networkOf(name: string, internal: boolean): Promise<void> {
    const making = networks.get(name) ?? makeNetwork(name, internal).finally(() => networks.delete(name));
    networks.set(name, making);
    await making;
  }

  async function makeNetwork(name: string, internal: boolean): Promise<void> {
    const bridge = bridgeOf(internal);
    await engine.network(name, { internal, bridge, label: `${LABEL}.${accountId}` });
    if (!internal || isClosed) return;
    await closeInterface(bridge, log);
    isClosed = true;
  }

  /** Linux takes 15 characters. */
  const bridgeOf = (internal: boolean): string => `fh-${accountId.slice(0, 8)}-${internal ? "c" : "i"}`;

  /** A virtual machine would fall as a whole; here the engine ends one process, which the program may not survive well. */
  async function watchMemory(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        for await (const id of engine.outOfMemory(`${LABEL}=${accountId}`, closing.signal)) {
          const instance = live().find(({ containerId }) => containerId === id);
          if (instance === undefined) continue;
          instance.outOfMemory = true;
          await engine.kill(id, "SIGKILL");
        }
      } catch (error) {
        if (!closing.signal.aborted) log.warn("containers.events_lost", { error: String(error) });
      }
      await pause(WATCH_BACKOFF_MS, undefined, { signal: closing.signal, ref: false }).catch(() => undefined);
    }
  }

  /** From here on the instance runs, and is watched until it has ended. */
  async function look(instance: Running, container: string): Promise<void> {
    instance.address = (await engine.inspect(container))?.address ?? "";
    for (const listener of listeners) listener(instance);
    void watch(instance, container);
  }

  async function watch(instance: Running, container: string): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await engine.ended(container, closing.signal);
        const state = await engine.inspect(container);
        if (state?.running === true) continue;
        const reason = instance.destroyed
          ? "destroyed"
          : state === undefined
            ? "lost"
            : instance.outOfMemory || state.oomKilled
              ? "oom"
              : "exit";
        const end: End = { exitCode: state?.exitCode ?? 137, reason };
        await recordEnd(instance, end);
        await engine.remove(container);
        finished(instance, end);
        return;
      } catch (error) {
        if (closing.signal.aborted) return;
        log.warn("containers.watch_failed", { instance: instance.id, error });
        await pause(WATCH_BACKOFF_MS, undefined, { ref: false });
      }
    }
  }

  async function recordEnd({ id }: Instance, end: End): Promise<void> {
    const [code, reason] = "failure" in end ? [null, end.failure] : [end.exitCode, end.reason];
    await meta.run(
      "UPDATE containers_instances SET stopped_at = ?, exit_code = ?, reason = ? WHERE id = ? AND stopped_at IS NULL",
      clock.now(),
      code,
      reason,
      id,
    );
  }

  const own = (instance: Instance): Running | undefined => {
    const found = byObject.get(instance.object.text);
    return found?.id === instance.id ? found : undefined;
  };

  const instances: Instances = {
    start,
    ofObject: ({ text }) => byObject.get(text),
    live,
    byId: (id) => [...byObject.values()].find((instance) => instance.id === id),
    async signal(instance, signal) {
      if (instance.containerId !== undefined && instance.end === undefined) await engine.kill(instance.containerId, signal);
    },
    async stop(instance) {
      const running = own(instance);
      if (running === undefined || running.end !== undefined) return;
      running.stopping = true;
      await instances.signal(instance, "SIGTERM");
      const timer = setTimeout(() => {
        instances
          .signal(instance, "SIGKILL")
          .catch((error: unknown) => log.warn("containers.kill_failed", { instance: instance.id, error }));
      }, config["containers.stop_grace_s"] * 1000);
      timer.unref();
      await instance.ended;
      clearTimeout(timer);
    },
    async destroy(instance) {
      const running = own(instance);
      if (running?.containerId === undefined || running.end !== undefined) return;
      running.destroyed = true;
      await engine.kill(running.containerId, "SIGKILL");
      await running.ended;
    },
    letGo(instance) {
      const running = own(instance);
      if (running === undefined || running.end !== undefined) return;
      clearTimeout(running.linger);
      running.linger = setTimeout(() => {
        instances.stop(instance).catch((error: unknown) => log.warn("containers.stop_failed", { instance: instance.id, error }));
      }, config["containers.linger_s"] * 1000);
      running.linger.unref();
    },
    takeUp(instance) {
      clearTimeout(own(instance)?.linger);
    },
    forget({ text }) {
      if (byObject.get(text)?.end !== undefined) byObject.delete(text);
    },
    busy: (scriptId) => live().some((instance) => instance.scriptId === scriptId),
    onRunning: (listener) => void listeners.push(listener),
    adopt: () => adopt(),
    async close() {
      const left = live();
      await Promise.allSettled(left.map((instance) => instances.signal(instance, "SIGTERM")));
      const timeout = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_GRACE_MS).unref());
      await Promise.race([Promise.allSettled(left.map(({ ended }) => ended)), timeout]);
      closing.abort();
      for (const instance of left) {
        if (instance.end !== undefined || instance.containerId === undefined) continue;
        await engine.remove(instance.containerId).catch((error: unknown) => log.warn("containers.remove_failed", { error: String(error) }));
        await recordEnd(instance, { exitCode: 137, reason: "destroyed" });
        finished(instance, { exitCode: 137, reason: "destroyed" });
      }
      if (!isUsed) return;
      for (const internal of [true, false]) await engine.removeNetwork(networkName(internal)).catch(() => undefined);
      if (isClosed) await forgetInterface(bridgeOf(true));
    },
  };

  async function adopt(): Promise<void> {
    const rows = await meta.all<{
      id: string;
      application_id: string;
      script_id: string;
      object_key: string;
      version: number;
      started_at: number;
      vcpu: number;
      memory_mib: number;
      disk_mb: number;
    }>("SELECT * FROM containers_instances WHERE stopped_at IS NULL LIMIT 100000");
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const { id: container, labels, running } of await engine.list([`${LABEL}=${accountId}`])) {
      const row = byId.get(String(labels["freehold.instance"]));
      const object = objectKey(String(labels["freehold.object"]));
      if (row === undefined || object === undefined || !running || applications.find(row.application_id) === undefined) {
        await engine.remove(container);
        continue;
      }
      byId.delete(row.id);
      const instance = instanceOf({
        id: row.id,
        object,
        scriptId: row.script_id,
        applicationId: row.application_id,
        version: row.version,
        resources: { vcpu: row.vcpu, memoryMib: row.memory_mib, diskMb: row.disk_mb },
        startedAt: row.started_at,
      });
      instance.containerId = container;
      byObject.set(object.text, instance);
      instances.letGo(instance);
      log.info("containers.adopted", { instance: row.id, object: object.text });
      await look(instance, container);
    }
    void watchMemory();
    isUsed = true;
    // The containers of these are gone.
    for (const { id } of byId.values()) await recordEnd({ id } as Instance, { exitCode: 137, reason: "lost" });
  }

  return instances;
}

/** The object's own variables, then those that every instance has. */
function environment({ id, applicationId, object }: Instance, given: readonly string[]): string[] {
  const own = {
    CLOUDFLARE_APPLICATION_ID: applicationId,
    CLOUDFLARE_COUNTRY_A2: "XX",
    CLOUDFLARE_DEPLOYMENT_ID: id,
    CLOUDFLARE_DURABLE_OBJECT_ID: object.objectId,
    CLOUDFLARE_LOCATION: "loc01",
    CLOUDFLARE_REGION: "REGN",
  };
  const users = given.filter((entry) => !Object.hasOwn(own, entry.split("=")[0] as string));
  return [...users, ...Object.entries(own).map(([name, value]) => `${name}=${value}`)];
}
