/**
 * Rollouts: instances of an older version are replaced in steps. New instances have the new version from the moment the
 * configuration changed; a step ends enough of the old ones, those first that have run longest, and each only after its
 * grace period. Their objects start them again as they need them. What is done is in the rows: a restart goes on there.
 * https://developers.cloudflare.com/containers/platform-details/rollouts/
 */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import type { KernelSlice } from "../../kernel/product.ts";
import { type Application, type Applications, type Configuration, configurationSchema } from "./applications.ts";
import { containersError } from "./errors.ts";
import type { Instance, Instances } from "./instances.ts";

export const newRolloutSchema = z.looseObject({
  description: z.string().max(1000).default(""),
  strategy: z.literal("rolling").default("rolling"),
  kind: z.enum(["full_auto", "full_manual", "durable_objects_auto"]).default("full_auto"),
  target_configuration: configurationSchema.partial().default({}),
  step_percentage: z.number().int().min(1).max(100).optional(),
  steps: z
    .array(z.looseObject({ step_size: z.looseObject({ percentage: z.number().min(1).max(100) }), description: z.string().optional() }))
    .max(100)
    .optional(),
});

export const rolloutActionSchema = z.looseObject({ action: z.enum(["next", "revert"]) });

export interface Rollout {
  readonly id: string;
  readonly applicationId: string;
  readonly status: "progressing" | "completed" | "reverted" | "replaced";
  readonly kind: string;
  readonly description: string;
  readonly steps: readonly number[];
  /** How many of them are done. */
  readonly step: number;
  readonly previous: Configuration;
  readonly previousVersion: number;
  readonly targetVersion: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface Rollouts {
  /** Newest first. */
  list(applicationId: string): Promise<readonly Rollout[]>;
  /** Throws `containers.rolloutNotFound`. */
  get(applicationId: string, id: string): Promise<Rollout>;
  /** Begins one, in place of another that is under way. */
  create(application: Application, given: z.infer<typeof newRolloutSchema>): Promise<Rollout>;
  act(application: Application, id: string, action: "next" | "revert"): Promise<Rollout>;
  remove(application: Application, id: string): Promise<void>;
  /** Id of the one that is under way. */
  active(applicationId: string): string | undefined;
  /** Remembers what a version was made of, for a way back. Called before a change of the configuration. */
  before(application: Application): void;
  /** Goes on with what a stop interrupted. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

interface Row {
  readonly [column: string]: string | number;
}

interface Run {
  readonly id: string;
  readonly ended: AbortController;
  done: Promise<void>;
}

const LOOK_MS = 1_000;
const ROLLOUTS_MAX = 1_000;

export function openRollouts({ meta, clock, log, config }: KernelSlice, applications: Applications, instances: Instances): Rollouts {
  const runs = new Map<string, Run>();
  /** By application: the configuration before the last change of this run of the platform. */
  const previous = new Map<string, Pick<Application, "configuration" | "version">>();

  async function save(rollout: Rollout): Promise<Rollout> {
    const saved = { ...rollout, updatedAt: clock.now() };
    await meta.run(
      "UPDATE containers_rollouts SET status = ?, step = ?, updated_at = ? WHERE id = ?",
      saved.status,
      saved.step,
      saved.updatedAt,
      saved.id,
    );
    return saved;
  }

  async function get(applicationId: string, id: string): Promise<Rollout> {
    const row = await meta.get<Row>("SELECT * FROM containers_rollouts WHERE id = ? AND application_id = ?", id, applicationId);
    if (row === undefined) throw containersError("rolloutNotFound");
    return fromRow(row);
  }

  function run(rollout: Rollout): void {
    const ended = new AbortController();
    const own: Run = { id: rollout.id, ended, done: Promise.resolve() };
    runs.set(rollout.applicationId, own);
    own.done = advance(rollout, ended.signal)
      .catch((error: unknown) => {
        if (!ended.signal.aborted) log.error("containers.rollout_failed", { rollout: rollout.id, error });
      })
      .finally(() => {
        if (runs.get(rollout.applicationId) === own) runs.delete(rollout.applicationId);
      });
  }

  async function advance(started: Rollout, signal: AbortSignal): Promise<void> {
    let rollout = started;
    while (rollout.step < rollout.steps.length && !signal.aborted) {
      await takeStep(rollout, rollout.steps[rollout.step] as number, signal);
      if (signal.aborted) return;
      const step = rollout.step + 1;
      rollout = await save({ ...rollout, step, status: step === rollout.steps.length ? "completed" : "progressing" });
      // By hand, each step waits to be asked for.
      if (rollout.kind === "full_manual") return;
      if (step < rollout.steps.length) await pause(config["containers.rollout_step_s"] * 1000, undefined, { signal, ref: false });
    }
  }

  /** Replaces old instances until this share of all is of the new version. */
  async function takeStep({ applicationId, targetVersion }: Rollout, percentage: number, signal: AbortSignal): Promise<void> {
    const live = instances.live(applicationId);
    const old = live.filter(({ version }) => version < targetVersion).sort((a, b) => a.startedAt - b.startedAt);
    const wanted = Math.ceil((live.length * percentage) / 100);
    const replaced = old.slice(0, Math.max(0, wanted - (live.length - old.length)));
    await Promise.all(replaced.map((instance) => replace(applicationId, instance, signal)));
  }

  async function replace(applicationId: string, instance: Instance, signal: AbortSignal): Promise<void> {
    const graceMs = () => (applications.find(applicationId)?.settings.rollout_active_grace_period ?? 0) * 1000;
    while (instance.end === undefined && instance.startedAt + graceMs() > clock.now()) {
      const left = instance.startedAt + graceMs() - clock.now();
      await Promise.race([instance.ended, pause(Math.min(left, LOOK_MS), undefined, { signal, ref: false })]);
    }
    const abandoned = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    if (!signal.aborted) await Promise.race([instances.stop(instance), abandoned]);
  }

  async function halt(applicationId: string): Promise<void> {
    const own = runs.get(applicationId);
    own?.ended.abort();
    await own?.done;
  }

  return {
    async list(applicationId) {
      const rows = await meta.all<Row>(
        `SELECT * FROM containers_rollouts WHERE application_id = ? ORDER BY created_at DESC, id LIMIT ${ROLLOUTS_MAX}`,
        applicationId,
      );
      return rows.map(fromRow);
    },
    get,
    async create(application, given) {
      const steps = stepsOf(given);
      await halt(application.id);
      const earlier = previous.get(application.id) ?? application;
      const { image } = given.target_configuration;
      const target =
        image === undefined || image === application.configuration.image
          ? application
          : await applications.change(application.id, {
              configuration: { ...application.configuration, ...given.target_configuration, image },
            });
      const now = clock.now();
      const rollout: Rollout = {
        id: randomUUID(),
        applicationId: application.id,
        status: "progressing",
        kind: given.kind,
        description: given.description,
        steps,
        step: 0,
        previous: earlier.configuration,
        previousVersion: earlier.version,
        targetVersion: target.version,
        createdAt: now,
        updatedAt: now,
      };
      await meta.transaction(async (tx) => {
        await tx.run(
          "UPDATE containers_rollouts SET status = 'replaced' WHERE application_id = ? AND status = 'progressing'",
          application.id,
        );
        await tx.run(
          `INSERT INTO containers_rollouts
             (id, application_id, status, kind, description, steps, step, previous, previous_version, target_version, created_at, updated_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          rollout.id,
          rollout.applicationId,
          rollout.status,
          rollout.kind,
          rollout.description,
          JSON.stringify(rollout.steps),
          rollout.step,
          JSON.stringify(rollout.previous),
          rollout.previousVersion,
          rollout.targetVersion,
          now,
          now,
        );
      });
      if (rollout.kind !== "full_manual") run(rollout);
      return rollout;
    },
    async act(application, id, action) {
      const rollout = await get(application.id, id);
      if (rollout.status !== "progressing") throw containersError("invalid", `The rollout is ${rollout.status}`);
      if (runs.has(application.id) && action === "next") throw containersError("rolloutActive");
      if (action === "next") {
        run(rollout);
        return rollout;
      }
      await halt(application.id);
      const reverted = await save({ ...rollout, status: "reverted" });
      // A version of its own: what runs with the target's is older than it, and goes.
      await applications.change(application.id, { configuration: rollout.previous });
      for (const instance of instances.live(application.id))
        if (instance.version >= rollout.targetVersion)
          instances.stop(instance).catch((error: unknown) => log.warn("containers.stop_failed", { instance: instance.id, error }));
      return reverted;
    },
    async remove(application, id) {
      const { status } = await get(application.id, id);
      if (status === "progressing") throw containersError("rolloutActive");
      await meta.run("DELETE FROM containers_rollouts WHERE id = ?", id);
    },
    active: (applicationId) => runs.get(applicationId)?.id,
    before: ({ id, configuration, version }) => void previous.set(id, { configuration, version }),
    async resume() {
      const rows = await meta.all<Row>(`SELECT * FROM containers_rollouts WHERE status = 'progressing' LIMIT ${ROLLOUTS_MAX}`);
      for (const rollout of rows.map(fromRow))
        if (rollout.kind !== "full_manual" && applications.find(rollout.applicationId) !== undefined) run(rollout);
    },
    async stop() {
      const all = [...runs.values()];
      for (const { ended } of all) ended.abort();
      await Promise.all(all.map(({ done }) => done));
    },
  };
}

/** Percentages, ascending; one number is the size of each step. */
function stepsOf({ steps, step_percentage: size = 100 }: z.infer<typeof newRolloutSchema>): number[] {
  const given =
    steps?.map(({ step_size }) => step_size.percentage) ??
    Array.from({ length: Math.ceil(100 / size) }, (_, i) => Math.min(100, (i + 1) * size));
  const isAscending = given.every((percentage, i) => i === 0 || percentage > (given[i - 1] as number));
  if (!isAscending || given.at(-1) !== 100) throw containersError("invalid", "The steps' percentages must ascend, and end with 100");
  return given;
}

function fromRow(row: Row): Rollout {
  return {
    id: String(row.id),
    applicationId: String(row.application_id),
    status: row.status as Rollout["status"],
    kind: String(row.kind),
    description: String(row.description),
    steps: JSON.parse(String(row.steps)) as number[],
    step: Number(row.step),
    previous: JSON.parse(String(row.previous)) as Configuration,
    previousVersion: Number(row.previous_version),
    targetVersion: Number(row.target_version),
    createdAt: Number(row.created_at),
    updatedAt: Number(row.updated_at),
  };
}
