/**
 * Projects and the models in them. A model's file is written first, then the row that names it; both go with the project. A
 * model is found through its project alone, so that a binding of one project reaches no other's.
 */
import { randomUUID } from "node:crypto";
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Engine, ModelFile } from "./engine.ts";
import { constellationError } from "./errors.ts";
import type { RuntimeName } from "./predictor.ts";

export interface ProjectView {
  readonly id: string;
  readonly name: string;
  readonly runtime: RuntimeName;
  readonly created_at: string;
}

export interface ModelView {
  readonly id: string;
  readonly project_id: string;
  readonly name: string;
  readonly description: string;
  readonly created_at: string;
}

interface ProjectRow extends Omit<ProjectView, "created_at"> {
  readonly created_at: number;
}

interface ModelRow extends Omit<ModelView, "created_at"> {
  readonly blob: BlobId;
  readonly created_at: number;
}

export interface NewModel {
  readonly name: string;
  readonly description: string;
  readonly bytes: Uint8Array;
}

const NAME = /^[a-zA-Z0-9-_]{1,255}$/;
/** What a list reads at most. */
const ROWS_MAX = 100_000;

const iso = (ms: number): string => new Date(ms).toISOString();
const projectView = ({ id, name, runtime, created_at }: ProjectRow): ProjectView => ({ id, name, runtime, created_at: iso(created_at) });
const modelView = ({ id, project_id, name, description, created_at }: ModelRow): ModelView => ({
  ...{ id, project_id, name, description },
  created_at: iso(created_at),
});

function checkName(name: string): void {
  if (!NAME.test(name)) throw constellationError("invalid", `name: "${name.slice(0, 300)}" must match ${NAME.source}`);
}

export type Projects = ReturnType<typeof openProjects>;

export function openProjects({ meta, blobs, leases, clock, config }: KernelSlice, engine: Engine) {
  async function require(id: string, from: Pick<MetaTransaction, "get"> = meta): Promise<ProjectRow> {
    const row = await from.get<ProjectRow & Record<string, never>>("SELECT * FROM constellation_projects WHERE id = ?", id);
    if (row === undefined) throw constellationError("projectNotFound");
    return row;
  }

  async function modelRow(project: string, id: string, from: Pick<MetaTransaction, "get"> = meta): Promise<ModelRow> {
    const sql = "SELECT * FROM constellation_models WHERE project_id = ? AND id = ?";
    const row = await from.get<ModelRow & Record<string, never>>(sql, project, id);
    if (row === undefined) throw constellationError("modelNotFound");
    return row;
  }

  async function end(gone: readonly ModelRow[]): Promise<void> {
    for (const { id, blob } of gone) {
      engine.forget(id);
      await leases.discard(blob);
    }
  }

  return {
    list: async (): Promise<ProjectView[]> =>
      (
        await meta.all<ProjectRow & Record<string, never>>(`SELECT * FROM constellation_projects ORDER BY created_at, id LIMIT ${ROWS_MAX}`)
      ).map(projectView),
    find: async (id: string): Promise<ProjectView> => projectView(await require(id)),

    create(name: string, runtime: RuntimeName): Promise<ProjectView> {
      checkName(name);
      return meta.transaction(async (tx) => {
        if ((await tx.get("SELECT 1 FROM constellation_projects WHERE name = ?", name)) !== undefined)
          throw constellationError("projectExists");
        const row: ProjectRow = { id: randomUUID(), name, runtime, created_at: clock.now() };
        const sql = "INSERT INTO constellation_projects (id, name, runtime, created_at) VALUES (?, ?, ?, ?)";
        await tx.run(sql, row.id, name, runtime, row.created_at);
        return projectView(row);
      });
    },

    /** With its models. */
    async remove(id: string): Promise<ProjectView> {
      const { project, models } = await meta.transaction(async (tx) => {
        const project = await require(id, tx);
        const models = await tx.all<ModelRow & Record<string, never>>("SELECT * FROM constellation_models WHERE project_id = ?", id);
        for (const { blob } of models) await leases.revoke(tx, blob);
        await tx.run("DELETE FROM constellation_models WHERE project_id = ?", id);
        await tx.run("DELETE FROM constellation_projects WHERE id = ?", id);
        return { project, models };
      });
      await end(models);
      return projectView(project);
    },

    async models(project: string): Promise<ModelView[]> {
      await require(project);
      const sql = `SELECT * FROM constellation_models WHERE project_id = ? ORDER BY created_at, id LIMIT ${ROWS_MAX}`;
      return (await meta.all<ModelRow & Record<string, never>>(sql, project)).map(modelView);
    },

    async addModel(projectId: string, { name, description, bytes }: NewModel): Promise<ModelView> {
      checkName(name);
      const { runtime } = await require(projectId);
      if (bytes.byteLength > config["constellation.model_max_bytes"]) throw constellationError("tooLarge");
      const isTaken = async (from: Pick<MetaTransaction, "get">): Promise<boolean> =>
        (await from.get("SELECT 1 FROM constellation_models WHERE project_id = ? AND name = ?", projectId, name)) !== undefined;
      if (await isTaken(meta)) throw constellationError("modelExists");
      await engine.check(runtime, bytes);
      const blob = await leases.put(bytes);
      try {
        return await meta.transaction(async (tx) => {
          await require(projectId, tx);
          if (await isTaken(tx)) throw constellationError("modelExists");
          const row: ModelRow = { id: randomUUID(), project_id: projectId, name, description, blob, created_at: clock.now() };
          // The row makes the model visible.
          await tx.run(
            "INSERT INTO constellation_models (id, project_id, name, description, blob, size, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            ...[row.id, projectId, name, description, blob, bytes.byteLength, row.created_at],
          );
          await leases.settle(tx, blob);
          return modelView(row);
        });
      } catch (error) {
        await leases.discard(blob);
        throw error;
      }
    },

    async removeModel(project: string, id: string): Promise<ModelView> {
      const row = await meta.transaction(async (tx) => {
        const found = await modelRow(project, id, tx);
        await leases.revoke(tx, found.blob);
        await tx.run("DELETE FROM constellation_models WHERE id = ?", id);
        return found;
      });
      await end([row]);
      return modelView(row);
    },

    /** The file of a project's model, for the engine. */
    async file(projectId: string, id: string): Promise<ModelFile> {
      const { runtime } = await require(projectId);
      const { blob } = await modelRow(projectId, id);
      return { id, runtime, read: () => blobs.bytes(blob) };
    },

    async count(): Promise<number> {
      return (await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM constellation_models"))?.n ?? 0;
    },
  };
}
