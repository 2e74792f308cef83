/**
 * The account's legacy pipelines: rows in meta, mirrored in memory because every ingest request asks for its pipeline. A
 * change makes a new version with journals of its own; events go there from the moment that it is recorded, while the
 * version before drains. Structural changes happen one at a time.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Objects } from "../../../kernel/capabilities.ts";
import type { MetaTransaction } from "../../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import { checkCredentials } from "../credentials.ts";
import { pipelinesError } from "../errors.ts";
import type { Receiver } from "../ingest.ts";
import { limiter } from "../limiter.ts";
import { scratchFiles } from "../scratch-files.ts";
import type { SinkSecrets } from "../sink-config.ts";
import { openCredentials, type Place, sealCredentials } from "./destination.ts";
import { type Instance, startInstance } from "./instance.ts";
import type { LegacyMetrics } from "./legacy-metrics.ts";
import { type LegacySettings, type PipelineBody, parseBody, settingsOf, type Wire } from "./settings.ts";
import { type ShardContext, type ShardRow, shardReader } from "./shard-reader.ts";

export interface LegacyPipeline extends Receiver {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly wire: Wire;
  /** The version that takes events. */
  readonly instance: Instance;
}

export interface LegacyPipelines {
  /** By id. */
  find(id: string): LegacyPipeline | undefined;
  byName(name: string): LegacyPipeline | undefined;
  /** By name. Throws `pipelines.pipelineNotFound`. */
  require(name: string): LegacyPipeline;
  list(): LegacyPipeline[];
  create(body: PipelineBody): Promise<LegacyPipeline>;
  /** Without credentials in the body the pipeline keeps those that it has. */
  update(name: string, body: PipelineBody): Promise<LegacyPipeline>;
  /** Gone for every client at once; what it has taken is delivered, tried once. */
  remove(name: string): Promise<void>;
  stop(): Promise<void>;
}

interface PipelineRow {
  id: string;
  name: string;
  version: number;
}

interface InstanceRow {
  pipeline: string;
  version: number;
  config: string;
  secrets: string;
}

/** Versions of one pipeline that may drain at a time: more come only when nothing can be delivered. */
const DRAINING_MAX = 20;

export async function openLegacyPipelines(kernel: KernelSlice, objects: Objects, metrics: LegacyMetrics): Promise<LegacyPipelines> {
  const { meta, journals, clock, config, log } = kernel;
  const directory = join(kernel.directory, "legacy-rolls");
  // What a crash left behind.
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const scratch = scratchFiles(directory);
  const exclusive = limiter(1);
  const byId = new Map<string, LegacyPipeline>();
  const byName = new Map<string, LegacyPipeline>();
  const draining = new Map<Instance, Promise<void>>();
  const context: ShardContext = {
    kernel,
    objects,
    metrics,
    scratch,
    limit: limiter(availableParallelism()),
    current: (pipeline) => byId.get(pipeline)?.instance,
  };
  /** The account's S3 API, by any of its names. */
  const isOwnEndpoint = ({ hostname, host }: URL): boolean =>
    ["r2.cloudflarestorage.com", `r2.${config.domain}`].some((name) => hostname === `${kernel.accountId}.${name}`) ||
    host === new URL(kernel.urls.gateway()).host;

  // --- instances ---

  const journalName = (pipeline: string, version: number, shard: number): string => `legacy-${pipeline}-${version}-${shard}`;

  async function start(row: InstanceRow, shards: readonly ShardRow[]): Promise<Instance> {
    const { pipeline, version, secrets: sealed } = row;
    const place: Place = { pipeline, version, sealed, settings: settingsOf(JSON.parse(row.config) as Wire) };
    const opened = await Promise.all(shards.map(({ shard }) => journals.open(journalName(pipeline, version, shard))));
    return startInstance(place, opened, (shard, journal, onHealth) =>
      shardReader(context, place, shards[shard] as ShardRow, journal, onHealth),
    );
  }

  /** Lets a version that takes no more events deliver what it has, in the background, and forgets it then. */
  function retire(instance: Instance): void {
    const { pipeline, version } = instance;
    const work = async (): Promise<void> => {
      const dropped = await instance.drain();
      // Ended by a stop: the next start goes on.
      if (dropped === undefined) return;
      if (dropped > 0) log.warn("legacy.events_dropped", { pipeline, version, events: dropped });
      await removeJournals(instance);
      // The rows last: until they are gone, a start finds the instance, and nothing left to deliver.
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM pipelines_legacy_shards WHERE pipeline = ? AND version = ?", pipeline, version);
        await tx.run("DELETE FROM pipelines_legacy_instances WHERE pipeline = ? AND version = ?", pipeline, version);
      });
    };
    const done = work()
      .catch((error: unknown) => log.error("legacy.retire_failed", { pipeline, version, error }))
      .finally(() => draining.delete(instance));
    draining.set(instance, done);
  }

  async function removeJournals({ pipeline, version, settings }: Pick<Instance, "pipeline" | "version" | "settings">): Promise<void> {
    for (let shard = 0; shard < settings.shards; shard++) await journals.remove(journalName(pipeline, version, shard));
  }

  // --- rows ---

  function keep(row: PipelineRow, wire: Wire, instance: Instance): LegacyPipeline {
    const { http, workerBinding } = instance.settings;
    const pipeline: LegacyPipeline = { ...row, wire, http, workerBinding, instance };
    byId.set(row.id, pipeline);
    byName.set(row.name, pipeline);
    return pipeline;
  }

  async function load(): Promise<void> {
    const rows = new Map((await meta.all<PipelineRow>("SELECT id, name, version FROM pipelines_legacy")).map((row) => [row.id, row]));
    for (const row of await meta.all<InstanceRow>("SELECT * FROM pipelines_legacy_instances ORDER BY created_at, pipeline, version")) {
      const shards = await meta.all<ShardRow>(
        "SELECT * FROM pipelines_legacy_shards WHERE pipeline = ? AND version = ? ORDER BY shard",
        row.pipeline,
        row.version,
      );
      const instance = await start(row, shards);
      const pipeline = rows.get(row.pipeline);
      if (pipeline?.version === row.version) keep(pipeline, JSON.parse(row.config) as Wire, instance);
      else retire(instance);
      if (pipeline === undefined) instance.giveUp();
    }
  }

  async function insertInstance(tx: MetaTransaction, row: InstanceRow, shards: readonly ShardRow[]): Promise<void> {
    await tx.run(
      "INSERT INTO pipelines_legacy_instances (pipeline, version, config, secrets, created_at) VALUES (?, ?, ?, ?, ?)",
      row.pipeline,
      row.version,
      row.config,
      row.secrets,
      clock.now(),
    );
    for (const { shard } of shards)
      await tx.run(
        "INSERT INTO pipelines_legacy_shards (pipeline, version, shard, position, rolls, intent) VALUES (?, ?, ?, 0, 0, NULL)",
        row.pipeline,
        row.version,
        shard,
      );
  }

  async function checkDestination({ target }: LegacySettings, secrets: SinkSecrets): Promise<void> {
    if (!(await objects.bucketExists(target.bucket))) throw pipelinesError("bucketNotFound", `The bucket ${target.bucket} does not exist`);
    await checkCredentials(kernel.auth, kernel.accountId, target.bucket, secrets);
  }

  /** Starts the version, which `record` makes current in the transaction that stores it. */
  async function begin(
    { id, name, version }: PipelineRow,
    wire: Wire,
    secrets: SinkSecrets,
    record: (tx: MetaTransaction) => Promise<void>,
  ): Promise<LegacyPipeline> {
    const settings = settingsOf(wire);
    await checkDestination(settings, secrets);
    const sealed = sealCredentials(kernel, id, version, secrets);
    const row: InstanceRow = { pipeline: id, version, config: JSON.stringify(wire), secrets: sealed };
    // The journals first: a version without them could not take events.
    const shards = Array.from(
      { length: settings.shards },
      (_, shard): ShardRow => ({ pipeline: id, version, shard, position: 0, rolls: 0, intent: null }),
    );
    const instance = await start(row, shards);
    try {
      await meta.transaction(async (tx) => {
        await record(tx);
        await insertInstance(tx, row, shards);
      });
    } catch (error) {
      await instance.stop();
      await removeJournals(instance);
      throw error;
    }
    return keep({ id, name, version }, wire, instance);
  }

  function require(name: string): LegacyPipeline {
    const found = byName.get(name);
    if (found === undefined) throw pipelinesError("pipelineNotFound");
    return found;
  }

  async function create(body: PipelineBody): Promise<LegacyPipeline> {
    const { wire, secrets } = parseBody(body, isOwnEndpoint);
    const { name } = body;
    if (byName.has(name)) throw pipelinesError("nameTaken", `A pipeline named "${name}" already exists`);
    if (byId.size >= config["pipelines.pipelines_max"])
      throw pipelinesError("tooMany", `The account's limit of ${config["pipelines.pipelines_max"]} legacy pipelines is reached`);
    if (secrets === undefined) throw pipelinesError("invalidPipeline", "destination.credentials: required");
    const row: PipelineRow = { id: randomBytes(16).toString("hex"), name, version: 1 };
    return begin(row, wire, secrets, async (tx) => {
      await tx.run("INSERT INTO pipelines_legacy (id, name, version) VALUES (?, ?, ?)", row.id, row.name, row.version);
    });
  }

  async function update(name: string, body: PipelineBody): Promise<LegacyPipeline> {
    const before = require(name);
    const { wire, secrets } = parseBody(body, isOwnEndpoint);
    if (body.name !== name) throw pipelinesError("invalidPipeline", "name: a pipeline cannot be renamed");
    const waiting = [...draining.keys()].filter(({ pipeline }) => pipeline === before.id).length;
    if (waiting >= DRAINING_MAX)
      throw pipelinesError("invalidPipeline", `${waiting} earlier versions still hold events that cannot be delivered`);
    const row: PipelineRow = { id: before.id, name, version: before.version + 1 };
    const pipeline = await begin(row, wire, secrets ?? openCredentials(kernel, before.instance), async (tx) => {
      await tx.run("UPDATE pipelines_legacy SET version = ? WHERE id = ?", row.version, row.id);
    });
    retire(before.instance);
    return pipeline;
  }

  async function remove(name: string): Promise<void> {
    const { id, instance } = require(name);
    await meta.run("DELETE FROM pipelines_legacy WHERE id = ?", id);
    byId.delete(id);
    byName.delete(name);
    retire(instance);
    // Nobody is left who could mend a destination.
    for (const one of draining.keys()) if (one.pipeline === id) one.giveUp();
  }

  await load();
  return {
    find: (id) => byId.get(id),
    byName: (name) => byName.get(name),
    require,
    list: () => [...byId.values()],
    create: (body) => exclusive(() => create(body)),
    update: (name, body) => exclusive(() => update(name, body)),
    remove: (name) => exclusive(() => remove(name)),
    async stop() {
      await Promise.all([...byId.values()].map(({ instance }) => instance.stop()));
      await Promise.all([...draining.keys()].map((instance) => instance.stop()));
      await Promise.all(draining.values());
      await scratch.clear();
    },
  };
}
