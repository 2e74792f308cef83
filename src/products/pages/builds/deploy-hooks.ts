/** Deploy hooks: secret URLs, a POST to which builds a branch. https://developers.cloudflare.com/pages/configuration/deploy-hooks/ */
import { randomUUID } from "node:crypto";
import type { KernelSlice } from "../../../kernel/product.ts";
import { pagesError } from "../errors.ts";
import type { Project } from "../model.ts";

export interface DeployHook {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly branch: string;
  readonly createdOn: number;
}

export interface DeployHooks {
  of(project: Project): Promise<DeployHook[]>;
  find(id: string): Promise<DeployHook | undefined>;
  /** Throws `pages.hookExists` and `pages.tooManyHooks`. */
  add(project: Project, name: string, branch: string): Promise<DeployHook>;
  /** Throws `pages.hookNotFound`. */
  remove(project: Project, id: string): Promise<void>;
}

type Row = { id: string; project_id: string; name: string; branch: string; created_on: number };

const HOOKS_MAX = 100;

const hookOf = ({ id, project_id, name, branch, created_on }: Row): DeployHook => ({
  id,
  projectId: project_id,
  name,
  branch,
  createdOn: created_on,
});

export function openDeployHooks({ meta, clock }: KernelSlice): DeployHooks {
  const of = async (project: Project): Promise<DeployHook[]> =>
    (await meta.all<Row>("SELECT * FROM pages_deploy_hooks WHERE project_id = ? ORDER BY created_on LIMIT 1000", project.id)).map(hookOf);
  return {
    of,
    async find(id) {
      const row = await meta.get<Row>("SELECT * FROM pages_deploy_hooks WHERE id = ?", id);
      return row && hookOf(row);
    },
    async add(project, name, branch) {
      if ((await of(project)).length >= HOOKS_MAX) throw pagesError("tooManyHooks");
      const hook: DeployHook = { id: randomUUID(), projectId: project.id, name, branch, createdOn: clock.now() };
      const { changes } = await meta.run(
        "INSERT INTO pages_deploy_hooks (id, project_id, name, branch, created_on) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        ...[hook.id, project.id, name, branch, hook.createdOn],
      );
      if (changes === 0) throw pagesError("hookExists");
      return hook;
    },
    async remove(project, id) {
      const { changes } = await meta.run("DELETE FROM pages_deploy_hooks WHERE id = ? AND project_id = ?", id, project.id);
      if (changes === 0) throw pagesError("hookNotFound");
    },
  };
}
