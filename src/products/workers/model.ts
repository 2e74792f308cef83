/**
 * What a Worker consists of. A script has versions (code and configuration, never changed once written) and
 * deployments (which one or two versions serve); the newest deployment is the current one.
 */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { BindingConfig } from "../../kernel/product.ts";

export type ModuleKind = "esm" | "commonjs" | "wasm" | "text" | "data" | "json" | "python" | "python-requirement" | "source-map";

/** One file of an upload, stored as a blob. */
export interface StoredModule {
  readonly name: string;
  readonly kind: ModuleKind;
  readonly blob: BlobId;
  readonly size: number;
  /** sha256 in hex. */
  readonly hash: string;
}

/** What the probe found an export to be. */
export interface ExportInfo {
  readonly name: string;
  readonly type: "object" | "entrypoint" | "durable-object" | "workflow" | "class";
  readonly handlers: readonly string[];
}

export interface AssetsConfig {
  readonly html_handling?: string | undefined;
  readonly not_found_handling?: string | undefined;
  readonly base_path?: string | undefined;
  readonly run_worker_first?: boolean | readonly string[] | undefined;
  readonly _headers?: string | undefined;
  readonly _redirects?: string | undefined;
}

export interface Annotations {
  readonly "workers/message"?: string | undefined;
  readonly "workers/tag"?: string | undefined;
  /** Name of the version's preview URL, besides its id. */
  readonly "workers/alias"?: string | undefined;
  readonly "workers/triggered_by"?: string | undefined;
}

/** The part of a version that is stored as JSON. */
export interface VersionContent {
  /** "none": a Worker of assets alone. */
  readonly syntax: "modules" | "service-worker" | "python" | "none";
  /** Name of the main module; empty for "none". */
  readonly main: string;
  readonly modules: readonly StoredModule[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** As validated by their compilers; secrets are sealed. */
  readonly bindings: readonly BindingConfig[];
  /** Handlers of the default export. */
  readonly handlers: readonly string[];
  readonly exports: readonly ExportInfo[];
  readonly assets?: { readonly manifest: string; readonly config: AssetsConfig };
  /** Of a user Worker: it was uploaded to a namespace that trusts its Workers. */
  readonly trusted?: boolean;
  /** Classes of Durable Objects whose objects have a container. */
  readonly containers?: readonly string[];
  readonly limits?: unknown;
  readonly placement?: unknown;
  readonly annotations: Annotations;
  /** "wrangler", "api", "dash", "secret", "rollback". */
  readonly source: string;
  readonly etag: string;
  readonly startupTimeMs: number;
}

export interface Version extends VersionContent {
  /** UUID. */
  readonly id: string;
  readonly scriptId: string;
  /** 1, 2, 3 … */
  readonly number: number;
  readonly createdOn: number;
}

export interface DeploymentContent {
  readonly versions: readonly { readonly version_id: string; readonly percentage: number }[];
  readonly annotations: Annotations;
  readonly source: string;
}

export interface Deployment extends DeploymentContent {
  readonly id: string;
  readonly scriptId: string;
  readonly number: number;
  readonly createdOn: number;
}

/** Settings that belong to the script and not to a version. */
export interface ScriptSettings {
  readonly logpush: boolean;
  readonly observability: unknown;
  /** Tail Workers. */
  readonly tail_consumers: readonly { readonly service: string }[];
  /** Tail Workers whose `tailStream` hears of events as they happen. */
  readonly streaming_tail_consumers: readonly { readonly service: string }[];
  readonly tags: readonly string[];
}

export interface Script {
  /** 32 hex digits; the "tag" of the API. */
  readonly id: string;
  /** Of a user Worker with its namespace's id before it: `owner.ts`. */
  readonly name: string;
  readonly createdOn: number;
  readonly modifiedOn: number;
  readonly lastDeployedFrom: string;
  /** Whether the workers.dev style host serves it. */
  readonly subdomainEnabled: boolean;
  readonly previewsEnabled: boolean;
  readonly settings: ScriptSettings;
}
