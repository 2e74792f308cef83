/** First step of the wizard: a stream that is there, or the settings of a new one. */
import { CodeField, SelectField, Switch, TextField } from "../../components/form.tsx";
import { onAccount } from "../../platform/rest.ts";
import { type Field, type Stream, V1 } from "./api.ts";
import { originsOf } from "./stream.tsx";

export interface StreamDraft {
  /** Id of an existing stream; "" for a new one. */
  readonly existing: string;
  readonly name: string;
  readonly structured: boolean;
  readonly schema: string;
  readonly http: boolean;
  readonly authentication: boolean;
  readonly origins: string;
}

const EXAMPLE = `{
  "fields": [
    { "name": "user_id", "type": "string", "required": true },
    { "name": "event", "type": "string", "required": true },
    { "name": "amount", "type": "float64", "required": false }
  ]
}`;

export const newStreamDraft: StreamDraft = {
  existing: "",
  name: "",
  structured: true,
  schema: EXAMPLE,
  http: true,
  authentication: false,
  origins: "",
};

/** What is wrong with the schema's text, or undefined. The platform checks the fields themselves. */
export function schemaError(draft: StreamDraft): string | undefined {
  if (!draft.structured) return undefined;
  try {
    parseSchema(draft.schema);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function parseSchema(text: string): { fields: Field[] } {
  const parsed = JSON.parse(text) as { fields?: unknown };
  if (typeof parsed !== "object" || parsed === null || !Array.isArray(parsed.fields))
    throw new Error('The schema is an object with "fields", a list');
  return parsed as { fields: Field[] };
}

export const streamReady = (draft: StreamDraft): boolean =>
  draft.existing !== "" || (/^\w+$/.test(draft.name) && schemaError(draft) === undefined);

export async function createStream(draft: StreamDraft): Promise<Stream> {
  const body = {
    name: draft.name,
    format: { type: "json", ...(!draft.structured && { unstructured: true }) },
    ...(draft.structured && { schema: parseSchema(draft.schema) }),
    http: { enabled: draft.http, authentication: draft.authentication, cors: { origins: originsOf(draft.origins) } },
    worker_binding: { enabled: true },
  };
  return (await onAccount<Stream>(`${V1}/streams`, { method: "POST", body })).result;
}

export function StreamStep({
  draft,
  streams,
  onChange,
}: {
  draft: StreamDraft;
  streams: readonly Stream[];
  onChange(draft: StreamDraft): void;
}) {
  const set = (change: Partial<StreamDraft>) => onChange({ ...draft, ...change });
  return (
    <>
      <SelectField
        label="Stream"
        value={draft.existing}
        onChange={(existing) => set({ existing })}
        options={[["", "A new stream"], ...streams.map(({ id, name }) => [id, name] as const)]}
      />
      {draft.existing === "" && (
        <>
          <TextField
            label="Stream name"
            hint="Letters, digits and underscores."
            value={draft.name}
            onChange={(name) => set({ name })}
            autoFocus
          />
          <Switch label="Events have a schema" checked={draft.structured} onChange={(structured) => set({ structured })} />
          {draft.structured ? (
            <CodeField
              label="Schema as JSON"
              hint="Types: string, bool, int32, int64, float32, float64, timestamp, json, binary, list, struct. It cannot change later."
              error={schemaError(draft)}
              rows={8}
              value={draft.schema}
              onChange={(schema) => set({ schema })}
            />
          ) : (
            <p className="text-sm text-soft">
              Every JSON object is taken, as one column <code>value</code>.
            </p>
          )}
          <Switch label="Take events by HTTP" checked={draft.http} onChange={(http) => set({ http })} />
          {draft.http && (
            <>
              <Switch
                label="Require an API token with Workers Pipelines Send"
                checked={draft.authentication}
                onChange={(authentication) => set({ authentication })}
              />
              <TextField
                label="Origins for CORS"
                hint="Web pages that may send, separated by commas; * for all. Empty for none."
                value={draft.origins}
                onChange={(origins) => set({ origins })}
              />
            </>
          )}
        </>
      )}
    </>
  );
}
