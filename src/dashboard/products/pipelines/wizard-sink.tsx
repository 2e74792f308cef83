/** Second step of the wizard: a sink that is there, or the settings and credentials of a new one. */
import type { ReactNode } from "react";
import { SelectField, TextField } from "../../components/form.tsx";
import { onAccount } from "../../platform/rest.ts";
import { type Sink, V1 } from "./api.ts";
import { canDerive, createSinkToken, s3Keys } from "./credentials.ts";

export interface SinkDraft {
  /** Id of an existing sink; "" for a new one. */
  readonly existing: string;
  readonly name: string;
  readonly type: string;
  readonly bucket: string;
  readonly namespace: string;
  readonly table: string;
  readonly path: string;
  readonly format: string;
  readonly compression: string;
  /** Seconds and megabytes, as typed; "" for none. */
  readonly interval: string;
  readonly size: string;
  readonly credentials: string;
  readonly token: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export const newSinkDraft: SinkDraft = {
  existing: "",
  name: "",
  type: "r2_data_catalog",
  bucket: "",
  namespace: "default",
  table: "",
  path: "",
  format: "parquet",
  compression: "zstd",
  interval: "300",
  size: "100",
  credentials: "new",
  token: "",
  accessKeyId: "",
  secretAccessKey: "",
};

const compressions: Readonly<Record<string, readonly string[]>> = {
  parquet: ["zstd", "snappy", "gzip", "lz4", "uncompressed"],
  json: ["uncompressed", "gzip"],
};
const MB = 1_000_000;

export function sinkReady(draft: SinkDraft): boolean {
  if (draft.existing !== "") return true;
  const own = draft.type === "r2" ? draft.accessKeyId !== "" && draft.secretAccessKey !== "" : draft.token !== "";
  return (
    /^\w+$/.test(draft.name) &&
    draft.bucket !== "" &&
    (draft.type === "r2" || draft.table !== "") &&
    /^\d*$/.test(draft.interval) &&
    /^\d*$/.test(draft.size) &&
    (draft.credentials === "new" || own)
  );
}

/** Makes the token first, if one is wanted. */
export async function createSink(draft: SinkDraft): Promise<Sink> {
  const made = draft.credentials === "new" ? await createSinkToken(draft.name) : undefined;
  const catalog = draft.type !== "r2";
  const rolling_policy = {
    ...(draft.interval !== "" && { interval_seconds: Number(draft.interval) }),
    ...(draft.size !== "" && { file_size_bytes: Number(draft.size) * MB }),
  };
  const config = catalog
    ? { namespace: draft.namespace, table_name: draft.table, token: made?.value ?? draft.token }
    : {
        path: draft.path,
        credentials: made ? await s3Keys(made) : { access_key_id: draft.accessKeyId, secret_access_key: draft.secretAccessKey },
      };
  const body = {
    name: draft.name,
    type: draft.type,
    format: catalog ? { type: "parquet", compression: draft.compression } : { type: draft.format, compression: draft.compression },
    config: { bucket: draft.bucket, rolling_policy, ...config },
  };
  return (await onAccount<Sink>(`${V1}/sinks`, { method: "POST", body })).result;
}

interface Props {
  readonly draft: SinkDraft;
  readonly sinks: readonly Sink[];
  readonly buckets: readonly string[];
  onChange(draft: SinkDraft): void;
}

export function SinkStep({ draft, sinks, buckets, onChange }: Props) {
  const set = (change: Partial<SinkDraft>) => onChange({ ...draft, ...change });
  const text = (label: string, name: keyof SinkDraft, more: { hint?: string; placeholder?: string } = {}) => (
    <TextField label={label} value={draft[name]} onChange={(value) => set({ [name]: value })} {...more} />
  );
  const chosen = (label: string, name: keyof SinkDraft, options: readonly (readonly [string, string])[], hint?: string) => (
    <SelectField label={label} value={draft[name]} onChange={(value) => set({ [name]: value })} options={options} hint={hint} />
  );
  const existing = chosen("Sink", "existing", [["", "A new sink"], ...sinks.map(({ id, name }) => [id, name] as const)]);
  if (draft.existing !== "") return existing;
  const catalog = draft.type !== "r2";
  const format = catalog ? "parquet" : draft.format;
  return (
    <>
      {existing}
      {text("Sink name", "name", { hint: "Letters, digits and underscores." })}
      <div className="grid gap-4 sm:grid-cols-2">
        {chosen("Destination", "type", [
          ["r2_data_catalog", "Iceberg table in R2 Data Catalog"],
          ["r2", "Files in R2"],
        ])}
        {chosen(
          "Bucket",
          "bucket",
          [["", "Choose a bucket"], ...buckets.map((name) => [name, name] as const)],
          catalog ? "Its data catalog must be enabled, in the bucket's settings." : undefined,
        )}
        {catalog ? (
          <>
            {text("Namespace", "namespace")}
            {text("Table", "table", { hint: "Made by the sink; it must not exist yet." })}
          </>
        ) : (
          <>
            {text("Path", "path", { placeholder: "events/raw", hint: "Prefix of the files' keys." })}
            <SelectField
              label="Format"
              value={draft.format}
              onChange={(to) => set({ format: to, compression: compressions[to]?.[0] ?? "" })}
              options={[
                ["parquet", "Parquet"],
                ["json", "JSON, one object a line"],
              ]}
            />
          </>
        )}
        {chosen(
          "Compression",
          "compression",
          (compressions[format] ?? []).map((name) => [name, name] as const),
        )}
      </div>
      <div className="grid gap-4 sm:grid-cols-2">
        {text("New file after seconds", "interval", { hint: "At least 10 on the real service." })}
        {text("or at megabytes", "size", { hint: "Empty for no limit." })}
      </div>
      <Credentials draft={draft} text={text} chosen={chosen} catalog={catalog} />
    </>
  );
}

function Credentials({
  draft,
  text,
  chosen,
  catalog,
}: {
  draft: SinkDraft;
  text(label: string, name: keyof SinkDraft): ReactNode;
  chosen(label: string, name: keyof SinkDraft, options: readonly (readonly [string, string])[], hint?: string): ReactNode;
  catalog: boolean;
}) {
  return (
    <>
      {chosen(
        "Credentials",
        "credentials",
        [...(catalog || canDerive() ? [["new", "Make an API token for this sink"] as const] : []), ["own", "Use credentials that I have"]],
        "What the sink writes with. Kept encrypted, and shown to nobody again.",
      )}
      {draft.credentials === "own" && catalog && text("API token", "token")}
      {draft.credentials === "own" && !catalog && (
        <div className="grid gap-4 sm:grid-cols-2">
          {text("Access key id", "accessKeyId")}
          {text("Secret access key", "secretAccessKey")}
        </div>
      )}
    </>
  );
}
