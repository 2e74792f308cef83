/**
 * The account's workflows and their versions. All workflows are in memory, so that a binding's call asks no table; the
 * rows are written before the memory changes.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import { workflowsError } from "./errors.ts";
import type { Workflow, WorkflowSettings, WorkflowVersion } from "./model.ts";

interface WorkflowRow {
  readonly id: string;
  readonly name: string;
  readonly script_name: string;
  readonly class_name: string;
  readonly settings: string;
  readonly version_id: string;
  readonly created_at: number;
  readonly modified_at: number;
}

interface VersionRow {
  readonly id: string;
  readonly workflow_id: string;
  readonly class_name: string;
  readonly language: "javascript" | "python";
  readonly settings: string;
  readonly created_at: number;
}

export interface WorkflowContent {
  readonly scriptName: string;
  readonly className: string;
  readonly language: WorkflowVersion["language"];
  readonly settings: WorkflowSettings;
}

export type Workflows = Awaited<ReturnType<typeof openWorkflows>>;

const NAME = /^[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}$/;
const WORKFLOWS_MAX = 100_000;
/** Versions that are kept of a workflow besides those that instances name. */
const VERSIONS_LISTED = 1_000;

export async function openWorkflows(meta: MetaStore, clock: Clock) {
  const byName = new Map<string, Workflow>();
  const byId = new Map<string, Workflow>();
  const inTurn = oneAtATime();

  function remember(workflow: Workflow): Workflow {
    byName.set(workflow.name, workflow);
    byId.set(workflow.id, workflow);
    return workflow;
  }

  for (const row of await meta.all<WorkflowRow & Record<string, never>>(`SELECT * FROM workflows_workflows LIMIT ${WORKFLOWS_MAX}`)) {
    remember({
      id: row.id,
      name: row.name,
      scriptName: row.script_name,
      className: row.class_name,
      settings: JSON.parse(row.settings) as WorkflowSettings,
      versionId: row.version_id,
      createdAt: row.created_at,
      modifiedAt: row.modified_at,
    });
  }

  function require(name: string): Workflow {
    const found = byName.get(name);
    if (found === undefined) throw workflowsError("workflowNotFound");
    return found;
  }

  async function put(name: string, { scriptName, className, language, settings }: WorkflowContent): Promise<Workflow> {
    if (!NAME.test(name)) throw workflowsError("invalidName");
    const old = byName.get(name);
    if (old !== undefined && settings.jurisdiction !== undefined && settings.jurisdiction !== old.settings.jurisdiction)
      throw workflowsError("jurisdictionImmutable");
    const jurisdiction = old?.settings.jurisdiction ?? settings.jurisdiction;
    const now = clock.now();
    const workflow: Workflow = {
      id: old?.id ?? randomUUID(),
      name,
      scriptName,
      className,
      settings: { ...settings, ...(jurisdiction !== undefined && { jurisdiction }) },
      versionId: randomUUID(),
      createdAt: old?.createdAt ?? now,
      modifiedAt: now,
    };
    const text = JSON.stringify(workflow.settings);
    await meta.transaction(async (tx) => {
      await tx.run(
        "INSERT INTO workflows_versions (id, workflow_id, class_name, language, settings, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        workflow.versionId,
        workflow.id,
        className,
        language,
        text,
        now,
      );
      await tx.run(
        `INSERT INTO workflows_workflows (id, name, script_name, class_name, settings, version_id, created_at, modified_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET script_name = excluded.script_name, class_name = excluded.class_name,
           settings = excluded.settings, version_id = excluded.version_id, modified_at = excluded.modified_at`,
        workflow.id,
        name,
        scriptName,
        className,
        text,
        workflow.versionId,
        workflow.createdAt,
        now,
      );
    });
    return remember(workflow);
  }

  const versionOf = (row: VersionRow): WorkflowVersion => ({
    id: row.id,
    workflowId: row.workflow_id,
    className: row.class_name,
    language: row.language,
    settings: JSON.parse(row.settings) as WorkflowSettings,
    createdAt: row.created_at,
  });

  return {
    list: (): Workflow[] => [...byName.values()].sort((a, b) => b.createdAt - a.createdAt || (a.name < b.name ? -1 : 1)),
    find: (name: string): Workflow | undefined => byName.get(name),
    byId: (id: string): Workflow | undefined => byId.get(id),
    /** Throws `workflows.workflowNotFound`. */
    require,
    /** Creates the workflow or makes a new version of it. */
    put: (name: string, content: WorkflowContent): Promise<Workflow> => inTurn(name, () => put(name, content)),
    /** The workflow is gone when it resolves; its instances are deleted afterwards. */
    remove: (name: string): Promise<Workflow> =>
      inTurn(name, async () => {
        const workflow = require(name);
        await meta.transaction(async (tx) => {
          await tx.run("INSERT INTO workflows_removed (id, removed_at) VALUES (?, ?)", workflow.id, clock.now());
          await tx.run("DELETE FROM workflows_workflows WHERE id = ?", workflow.id);
        });
        byName.delete(name);
        byId.delete(workflow.id);
        return workflow;
      }),
    /** Newest first. */
    async versions(workflow: Workflow): Promise<WorkflowVersion[]> {
      const rows = await meta.all<VersionRow & Record<string, never>>(
        `SELECT * FROM workflows_versions WHERE workflow_id = ? ORDER BY created_at DESC, id LIMIT ${VERSIONS_LISTED}`,
        workflow.id,
      );
      return rows.map(versionOf);
    },
    async version(workflow: Workflow, id: string): Promise<WorkflowVersion> {
      const row = await meta.get<VersionRow & Record<string, never>>(
        "SELECT * FROM workflows_versions WHERE workflow_id = ? AND id = ?",
        workflow.id,
        id,
      );
      if (row === undefined) throw workflowsError("versionNotFound");
      return versionOf(row);
    },
  };
}
