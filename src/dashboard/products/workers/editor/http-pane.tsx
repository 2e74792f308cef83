/** One request to the preview, written by hand, and its answer as it came. */
import { type FormEvent, useState } from "react";
import { Button } from "../../../components/button.tsx";
import { CodeField, SelectField, TextField } from "../../../components/form.tsx";
import { Badge, Failure } from "../../../components/page.tsx";
import { useAction } from "../../../platform/queries.ts";
import { onAccount } from "../../../platform/rest.ts";
import type { Running } from "./preview.ts";
import { NotRunning } from "./preview-pane.tsx";

interface RawAnswer {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly binary: boolean;
  readonly truncated: boolean;
}

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].map((name) => [name, name] as const);

/** "Name: value" lines. */
const headersOf = (text: string): [string, string][] =>
  text.split("\n").flatMap((line): [string, string][] => {
    const colon = line.indexOf(":");
    return colon < 1 ? [] : [[line.slice(0, colon).trim(), line.slice(colon + 1).trim()]];
  });

export function HttpPane({ running }: { running: Running | undefined }) {
  const [method, setMethod] = useState("GET");
  const [path, setPath] = useState("/");
  const [headers, setHeaders] = useState("");
  const [body, setBody] = useState("");
  const send = useAction(async (preview_url: string) => {
    const asked = { preview_url, method, path, headers: headersOf(headers), ...(body !== "" && { body }) };
    return (await onAccount<RawAnswer>("/workers/previews/request", { method: "POST", body: asked })).result;
  });
  if (running === undefined) return <NotRunning />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate(running.url);
  };
  return (
    <div className="flex h-full flex-col gap-4 overflow-y-auto p-4">
      <form onSubmit={submit} className="flex flex-col gap-3">
        <div className="flex items-end gap-2">
          <SelectField label="Method" value={method} onChange={setMethod} options={methods} />
          <div className="min-w-0 flex-1">
            <TextField label="Path and query" value={path} onChange={setPath} className="font-mono" />
          </div>
          <Button type="submit" look="primary" busy={send.isPending}>
            Send
          </Button>
        </div>
        <CodeField label="Headers" rows={2} placeholder="accept: application/json" value={headers} onChange={setHeaders} />
        <CodeField label="Body" rows={3} value={body} onChange={setBody} />
      </form>
      <Failure error={send.error} />
      {send.data && <Answer answer={send.data} />}
    </div>
  );
}

function Answer({ answer }: { answer: RawAnswer }) {
  const { status, reason, headers, body, binary, truncated } = answer;
  return (
    <section aria-label="Response" className="flex flex-col gap-2 text-sm">
      <p>
        <Badge tone={status < 400 ? "good" : "bad"}>
          {status} {reason}
        </Badge>
      </p>
      <pre className="overflow-x-auto rounded-lg bg-raised p-3 font-mono text-xs">
        {headers.map(([name, value]) => `${name}: ${value}`).join("\n")}
      </pre>
      {binary && <p className="text-soft">The body is not text; here it is in base64.</p>}
      <pre className="max-h-96 overflow-auto rounded-lg bg-raised p-3 font-mono text-xs break-words whitespace-pre-wrap">{body}</pre>
      {truncated && <p className="text-soft">The body went on; the rest is not shown.</p>}
    </section>
  );
}
