/**
 * What Pages consists of. A project has deployments, which never change once made: files by path, the rules of the files
 * `_headers`, `_redirects` and `_routes.json`, and with Functions a Worker of their own. One successful production
 * deployment is the project's site; the newest successful preview of a branch has the branch's alias.
 */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { Source } from "./builds/source.ts";
import type { DeploymentConfig } from "./deployment-config.ts";

export type Environment = "production" | "preview";

export interface ProjectSettings {
  readonly build: BuildConfig;
  /** The repository that it is built from; a project that files are uploaded to has none. */
  readonly source?: Source;
  /** Who may see previews; everybody when it is not said. */
  readonly previewAccess?: "public" | "members";
  readonly configs: Readonly<Record<Environment, DeploymentConfig>>;
}

export interface BuildConfig {
  readonly build_command: string | null;
  readonly destination_dir: string | null;
  readonly root_dir: string | null;
  readonly build_caching: boolean | null;
  readonly web_analytics_tag: string | null;
  readonly web_analytics_token: string | null;
}

export interface Project {
  /** UUID. */
  readonly id: string;
  readonly name: string;
  readonly createdOn: number;
  readonly productionBranch: string;
  /** Id of the deployment that is the site. */
  readonly productionDeployment: string | null;
  readonly settings: ProjectSettings;
}

export type StageName = "queued" | "initialize" | "clone_repo" | "build" | "deploy";

export interface Stage {
  readonly name: StageName;
  readonly startedOn: number | null;
  readonly endedOn: number | null;
  readonly status: "idle" | "active" | "success" | "failure" | "canceled";
}

/** How a deployment was built here. */
export interface Run {
  readonly trigger: "push" | "deploy_hook" | "ad_hoc";
  /** Every stage, in order. */
  readonly stages: readonly Stage[];
}

/** The part of a deployment that is stored as JSON. */
export interface DeploymentContent {
  readonly commit: { readonly hash: string; readonly message: string; readonly dirty: boolean };
  /** Texts of the files with these names. */
  readonly headers: string | null;
  readonly redirects: string | null;
  readonly routes: string | null;
  readonly functions: boolean;
  /** The environment's configuration as it was, without values of secrets. */
  readonly config: DeploymentConfig;
  readonly build: BuildConfig;
  /** Of what was uploaded; that of a build has rows of its own. */
  readonly log: readonly { readonly ts: number; readonly line: string }[];
  /** Undefined: it was uploaded. */
  readonly run?: Run;
}

export interface Deployment extends DeploymentContent {
  /** UUID; its first 8 digits are the label of its host name. */
  readonly id: string;
  readonly projectId: string;
  readonly number: number;
  readonly shortId: string;
  readonly createdOn: number;
  readonly environment: Environment;
  readonly branch: string;
  readonly status: DeploymentStatus;
}

/** Active: it waits to be built, or is. */
export type DeploymentStatus = "active" | "success" | "failure" | "canceled";

/** A file's bytes, shared by all deployments of its project. */
export interface StoredAsset {
  /** 32 hex digits that the client has chosen. */
  readonly hash: string;
  readonly blob: BlobId;
  readonly size: number;
  readonly contentType: string;
}

/** A branch as a label of host names: documented on the page on preview deployments; labels have at most 63 characters. */
export const aliasOf = (branch: string): string =>
  branch
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "-")
    .slice(0, ALIAS_MAX)
    .replace(/^-+|-+$/g, "");

/** What the real service keeps of a longer branch name. */
const ALIAS_MAX = 28;
