/** A bucket's settings, one card for each. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { Card, Facts, Failure, Loading } from "../../components/page.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest, useSession } from "../../platform/queries.ts";
import { hostUrl } from "../../platform/session.ts";
import { bucketCards } from "../bucket-cards.ts";
import { type Bucket, type BucketRef, bucketPath, jurisdictionHeader, onBucket } from "./api.ts";
import { bucketRoute, useBucket } from "./bucket.tsx";
import { CorsCard } from "./cors.tsx";
import { CustomDomainsCard } from "./custom-domains.tsx";
import { LifecycleCard } from "./lifecycle.tsx";
import { LocksCard } from "./locks.tsx";
import { PublicUrlCard } from "./public-url.tsx";

export const settingsRoute = createRoute({ getParentRoute: () => bucketRoute, path: "settings", component: Settings });

function Settings() {
  const bucket = useBucket();
  return (
    <div className="flex flex-col gap-4">
      <GeneralCard bucket={bucket} />
      {bucketCards.map((BucketCard) => (
        <BucketCard key={BucketCard.name} {...bucket} />
      ))}
      <PublicUrlCard bucket={bucket} />
      <CustomDomainsCard bucket={bucket} />
      <CorsCard bucket={bucket} />
      <LifecycleCard bucket={bucket} />
      <LocksCard bucket={bucket} />
      <DeleteCard bucket={bucket} />
    </div>
  );
}

function GeneralCard({ bucket }: { bucket: BucketRef }) {
  const session = useSession();
  const info = useRest<Bucket>(bucketPath(bucket), { headers: jurisdictionHeader(bucket.jurisdiction) });
  return (
    <Card title="General">
      {info.isPending && <Loading />}
      <Failure error={info.error} retry={() => void info.refetch()} />
      {info.data && (
        <Facts
          items={[
            ["Name", <Copy key="name" value={info.data.name} label="the bucket's name" />],
            ["S3 API", <Copy key="s3" value={`${hostUrl(session, "r2")}/${info.data.name}`} label="the S3 address" />],
            ["Created", dateTime(info.data.creation_date)],
            ["Default storage class", info.data.storage_class],
            info.data.location !== undefined && ["Location hint", info.data.location],
            info.data.jurisdiction !== "default" && ["Jurisdiction", info.data.jurisdiction],
          ]}
        />
      )}
    </Card>
  );
}

function DeleteCard({ bucket }: { bucket: BucketRef }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onBucket(bucket, "", { method: "DELETE" }), {
    stale: ["/r2/buckets", "/r2/metrics"],
    done: `Bucket ${bucket.bucket} deleted`,
    onDone: () => navigate({ to: "/r2" }),
  });
  return (
    <Card
      title="Delete bucket"
      lead="A bucket can be deleted once it is empty."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete bucket
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete bucket"
          word={bucket.bucket}
          submit="Delete bucket"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          The bucket and its settings go for good.
        </ConfirmDialog>
      )}
    </Card>
  );
}
