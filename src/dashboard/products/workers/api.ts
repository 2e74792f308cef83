/** Workers in the REST API. */
export const SCRIPTS = "/workers/scripts";

export interface Observability {
  readonly enabled: boolean;
  readonly head_sampling_rate?: number | null;
  readonly logs?: { readonly enabled?: boolean; readonly invocation_logs?: boolean; readonly head_sampling_rate?: number | null } | null;
  readonly traces?: { readonly enabled?: boolean; readonly head_sampling_rate?: number | null } | null;
}

export interface WorkerScript {
  /** Its name. */
  readonly id: string;
  readonly tag: string;
  readonly handlers: readonly string[];
  readonly created_on: string;
  readonly modified_on: string;
  readonly compatibility_date?: string;
  readonly compatibility_flags: readonly string[];
  readonly last_deployed_from: string;
  readonly has_assets: boolean;
  readonly observability: Observability | null;
}

export interface Deployment {
  readonly id: string;
  readonly created_on: string;
  readonly source: string;
  readonly versions: readonly { readonly version_id: string; readonly percentage: number }[];
  readonly annotations?: Readonly<Record<string, string | undefined>>;
}

export const workerPath = (name: string): string => `${SCRIPTS}/${name}`;
