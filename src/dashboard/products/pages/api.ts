/** Pages in the REST API. */
export const PROJECTS = "/pages/projects";
export const projectPath = (name: string): string => `${PROJECTS}/${encodeURIComponent(name)}`;
export const deploymentsPath = (name: string): string => `${projectPath(name)}/deployments`;

export interface Deployment {
  readonly id: string;
  readonly short_id: string;
  readonly url: string;
  readonly environment: "production" | "preview";
  readonly created_on: string;
  readonly aliases: readonly string[] | null;
  readonly latest_stage: Stage;
  readonly stages: readonly Stage[];
  /** Of a deployment that was built here. */
  readonly source?: Source;
  readonly deployment_trigger: {
    readonly type: string;
    readonly metadata: { readonly branch: string; readonly commit_hash: string; readonly commit_message: string };
  };
  readonly uses_functions: boolean;
}

export interface Stage {
  readonly name: "queued" | "initialize" | "clone_repo" | "build" | "deploy";
  readonly started_on: string | null;
  readonly ended_on: string | null;
  readonly status: "idle" | "active" | "success" | "failure" | "canceled";
}

export interface Source {
  readonly type: string;
  readonly config: {
    readonly owner: string;
    readonly repo_name: string;
    readonly clone_url: string;
    /** Where a forge tells of pushes, when the repository is not on the platform. */
    readonly webhook_url?: string;
    readonly production_deployments_enabled: boolean;
    readonly preview_deployment_setting: "all" | "none" | "custom";
    readonly preview_branch_includes: readonly string[];
    readonly preview_branch_excludes: readonly string[];
    readonly path_includes: readonly string[];
    readonly path_excludes: readonly string[];
  };
}

export interface BuildConfig {
  readonly build_command: string | null;
  readonly destination_dir: string | null;
  readonly root_dir: string | null;
  readonly build_caching: boolean | null;
}

export interface Preset {
  readonly name: string;
  readonly build_command: string;
  readonly destination_dir: string;
}

export interface DeployHook {
  readonly id: string;
  readonly name: string;
  readonly branch: string;
  readonly url: string;
}

export const PRESETS = "/pages/build_presets";

/** Whether it waits or runs. */
export const isActive = ({ latest_stage: { name, status } }: Deployment): boolean =>
  status === "active" || (status === "success" && name !== "deploy");

/** How it stands, in a word, and the tone to say it in. */
export function standing(deployment: Deployment): readonly [string, "plain" | "good" | "bad" | "warn"] {
  const { name, status } = deployment.latest_stage;
  if (isActive(deployment)) return [name === "queued" ? "queued" : "building", "warn"];
  if (status === "failure") return ["failed", "bad"];
  return status === "canceled" ? ["canceled", "plain"] : ["success", "good"];
}

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly subdomain: string;
  readonly domains: readonly string[];
  readonly created_on: string;
  readonly production_branch: string;
  readonly source?: Source;
  readonly build_config: BuildConfig;
  readonly preview_access: "public" | "members";
  readonly latest_deployment: Deployment | null;
  readonly canonical_deployment: Deployment | null;
}
