/** Pipelines in the REST API: paths, and the shapes of answers that pages read. */

export const V1 = "/pipelines/v1";

export interface Field {
  readonly name: string;
  readonly type: string;
  readonly required?: boolean;
}

export interface Stream {
  readonly id: string;
  readonly name: string;
  readonly created_at: string;
  readonly endpoint: string;
  readonly http: { readonly enabled: boolean; readonly authentication: boolean; readonly cors?: { readonly origins?: readonly string[] } };
  readonly worker_binding: { readonly enabled: boolean };
  readonly schema?: { readonly fields: readonly Field[] };
}

export interface Sink {
  readonly id: string;
  readonly name: string;
  readonly type: "r2" | "r2_data_catalog" | "basin_catalog";
  readonly created_at: string;
  readonly format: { readonly type: string; readonly compression?: string };
  readonly config: {
    readonly bucket: string;
    readonly path?: string;
    readonly namespace?: string;
    readonly table_name?: string;
    readonly rolling_policy?: { readonly file_size_bytes?: number; readonly interval_seconds?: number };
  };
}

export interface Pipeline {
  readonly id: string;
  readonly name: string;
  readonly sql: string;
  readonly status: string;
  readonly failure_reason?: string;
  readonly created_at: string;
  readonly tables?: readonly { readonly id: string; readonly name: string; readonly type: "stream" | "sink" }[];
}

/** "lake: default.events", "photos/raw". */
export const destination = ({ type, config }: Sink): string =>
  type === "r2"
    ? `${config.bucket}${config.path ? `/${config.path}` : ""}`
    : `${config.bucket}: ${config.namespace ?? "default"}.${config.table_name}`;

export const kindOf = ({ type }: Sink): string => (type === "r2" ? "R2" : "R2 Data Catalog");
