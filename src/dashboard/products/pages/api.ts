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
  readonly latest_stage: { readonly status: "success" | "failure" };
  readonly deployment_trigger: {
    readonly metadata: { readonly branch: string; readonly commit_hash: string; readonly commit_message: string };
  };
  readonly uses_functions: boolean;
}

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly subdomain: string;
  readonly domains: readonly string[];
  readonly created_on: string;
  readonly production_branch: string;
  readonly latest_deployment: Deployment | null;
  readonly canonical_deployment: Deployment | null;
}
