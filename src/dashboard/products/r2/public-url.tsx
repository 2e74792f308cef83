/** The public development URL: everybody may read the bucket there, once somebody has typed that this is meant. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Badge, Card, Facts, Failure, Loading } from "../../components/page.tsx";
import { useAction, useRest } from "../../platform/queries.ts";
import { type BucketRef, bucketPath, jurisdictionHeader, onBucket } from "./api.ts";

interface Managed {
  readonly domain: string;
  readonly enabled: boolean;
}

export function PublicUrlCard({ bucket }: { bucket: BucketRef }) {
  const path = `${bucketPath(bucket)}/domains/managed`;
  const [asking, setAsking] = useState(false);
  const managed = useRest<Managed>(path, { headers: jurisdictionHeader(bucket.jurisdiction) });
  const set = useAction(async (enabled: boolean) => onBucket(bucket, "/domains/managed", { method: "PUT", body: { enabled } }), {
    stale: [path],
    done: (_, enabled) => (enabled ? "Public URL allowed" : "Public URL disallowed"),
    onDone: () => setAsking(false),
  });
  const on = managed.data?.enabled === true;
  const word = on ? "disallow" : "allow";
  return (
    <Card
      title="Public development URL"
      lead="Lets anyone who knows a key read the object, without credentials. For development; use a custom domain for everything else."
      actions={managed.data && <Button onClick={() => setAsking(true)}>{on ? "Disallow access" : "Allow access"}</Button>}
    >
      {managed.isPending && <Loading rows={1} />}
      <Failure error={managed.error} retry={() => void managed.refetch()} />
      {managed.data && (
        <Facts
          items={[
            [
              "Access",
              on ? (
                <Badge key="on" tone="warn">
                  allowed
                </Badge>
              ) : (
                <Badge key="off">not allowed</Badge>
              ),
            ],
            on && ["URL", <Copy key="url" value={`${location.protocol}//${managed.data.domain}`} label="the public URL" />],
          ]}
        />
      )}
      {asking && (
        <ConfirmDialog
          title={on ? "Disallow public access" : "Allow public access"}
          word={word}
          submit={on ? "Disallow" : "Allow"}
          look={on ? "danger" : "primary"}
          busy={set.isPending}
          error={set.error}
          onConfirm={() => set.mutate(!on)}
          onClose={() => setAsking(false)}
        >
          {on
            ? "Links to objects of this bucket at its public URL stop working."
            : "Everybody will be able to read every object of this bucket."}
        </ConfirmDialog>
      )}
    </Card>
  );
}
