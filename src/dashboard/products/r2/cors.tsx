/** The bucket's CORS policy, edited as JSON in the form of S3 tools. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { CodeField } from "../../components/form.tsx";
import { Card, Failure, Loading } from "../../components/page.tsx";
import { useAction, useRest } from "../../platform/queries.ts";
import { type BucketRef, bucketPath, jurisdictionHeader, onBucket } from "./api.ts";
import { type CorsRule, EXAMPLE, parseCors, toS3 } from "./cors-json.ts";

const shown = (value: unknown): string => JSON.stringify(value, null, 2);

export function CorsCard({ bucket }: { bucket: BucketRef }) {
  const path = `${bucketPath(bucket)}/cors`;
  const [draft, setDraft] = useState<string>();
  const policy = useRest<{ rules: CorsRule[] }>(path, { headers: jurisdictionHeader(bucket.jurisdiction) });
  const save = useAction(async (text: string) => onBucket(bucket, "/cors", { method: "PUT", body: { rules: parseCors(text) } }), {
    stale: [path],
    done: "CORS policy saved",
    onDone: () => setDraft(undefined),
  });
  const remove = useAction(async () => onBucket(bucket, "/cors", { method: "DELETE" }), { stale: [path], done: "CORS policy removed" });
  const rules = policy.data?.rules ?? [];
  return (
    <Card
      title="CORS policy"
      lead="Which web pages may use the bucket from a browser."
      actions={
        policy.data && (
          <>
            {rules.length > 0 && (
              <Button busy={remove.isPending} onClick={() => remove.mutate()}>
                Remove
              </Button>
            )}
            <Button onClick={() => setDraft(shown(rules.length > 0 ? toS3(rules) : EXAMPLE))}>{rules.length > 0 ? "Edit" : "Add"}</Button>
          </>
        )
      }
    >
      {policy.isPending && <Loading rows={1} />}
      <Failure error={policy.error ?? remove.error} />
      {policy.data &&
        (rules.length > 0 ? (
          <pre className="max-h-80 overflow-auto rounded-lg bg-raised p-3 font-mono text-xs">{shown(toS3(rules))}</pre>
        ) : (
          <p className="text-sm text-soft">No policy: pages of other origins may not use it.</p>
        ))}
      {draft !== undefined && (
        <FormDialog
          title="CORS policy"
          submit="Save"
          wide
          busy={save.isPending}
          error={save.error}
          onSubmit={() => save.mutate(draft)}
          onClose={() => setDraft(undefined)}
        >
          <CodeField
            label="Policy as JSON"
            hint="A list of rules with AllowedOrigins, AllowedMethods, and if wanted AllowedHeaders, ExposeHeaders, MaxAgeSeconds."
            rows={14}
            value={draft}
            onChange={setDraft}
          />
        </FormDialog>
      )}
    </Card>
  );
}
