/** All buckets of the account, of every jurisdiction, and making one. */
import { useQueries, useQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, counted, dateTime } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Bucket, jurisdictionHeader, jurisdictions } from "./api.ts";

export const bucketsRoute = createRoute({ getParentRoute: () => shellRoute, path: "/r2", component: Buckets });

interface Metrics {
  readonly published: { readonly payloadSize: number; readonly objects: number };
}

async function listBuckets(jurisdiction: string, signal: AbortSignal): Promise<Bucket[]> {
  const found: Bucket[] = [];
  let cursor = "";
  do {
    const { result, info } = await onAccount<{ buckets: Bucket[] }, { cursor?: string }>(
      `/r2/buckets?per_page=1000&cursor=${encodeURIComponent(cursor)}`,
      { headers: jurisdictionHeader(jurisdiction), signal },
    );
    found.push(...result.buckets);
    cursor = info.cursor ?? "";
  } while (cursor !== "" && found.length < BUCKETS_SHOWN);
  return found;
}

const BUCKETS_SHOWN = 10_000;

function Buckets() {
  const [creating, setCreating] = useState(false);
  const [search, setSearch] = useState("");
  const lists = useQueries({
    queries: jurisdictions.map((jurisdiction) => ({
      queryKey: ["/r2/buckets", jurisdiction],
      queryFn: ({ signal }: { signal: AbortSignal }) => listBuckets(jurisdiction, signal),
    })),
  });
  const metrics = useQuery({
    queryKey: ["/r2/metrics"],
    queryFn: async () => (await onAccount<{ standard: Metrics; infrequentAccess: Metrics }>("/r2/metrics")).result,
  });
  const failed = lists.find((list) => list.error !== null);
  const buckets = lists.flatMap((list) => list.data ?? []);
  const shown = buckets.filter(({ name }) => name.includes(search.trim().toLowerCase()));
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create bucket
    </Button>
  );
  const stored = metrics.data && [metrics.data.standard.published, metrics.data.infrequentAccess.published];
  return (
    <Page
      title="R2 object storage"
      lead={
        stored &&
        `${counted(buckets.length, "bucket")}, ${counted(
          stored.reduce((sum, { objects }) => sum + objects, 0),
          "object",
        )}, ${bytes(stored.reduce((sum, { payloadSize }) => sum + payloadSize, 0))}`
      }
      actions={buckets.length > 0 && create}
    >
      <Failure error={failed?.error} retry={() => void failed?.refetch()} />
      {lists.some((list) => list.isPending) ? (
        <Loading />
      ) : buckets.length === 0 && failed === undefined ? (
        <Empty title="No bucket yet" action={create}>
          A bucket holds objects: files of any kind under keys of your choice. Reach them from Workers, by the S3 API, with wrangler, or
          here.
        </Empty>
      ) : (
        <>
          {buckets.length > 10 && (
            <div className="max-w-xs">
              <TextField label="Search" type="search" value={search} onChange={setSearch} placeholder="Name of a bucket" />
            </div>
          )}
          <Table
            label="Buckets"
            rows={shown}
            id={(bucket) => `${bucket.jurisdiction}/${bucket.name}`}
            columns={[
              {
                title: "Name",
                cell: ({ name, jurisdiction }) => (
                  <Link
                    to="/r2/$jurisdiction/$bucket"
                    params={{ jurisdiction, bucket: name }}
                    className="font-medium text-accent underline-offset-4 hover:underline"
                  >
                    {name}
                  </Link>
                ),
              },
              {
                title: "Jurisdiction",
                cell: ({ jurisdiction }) => (jurisdiction === "default" ? "" : <Badge>{jurisdiction}</Badge>),
                wide: true,
              },
              { title: "Default class", cell: ({ storage_class }) => className(storage_class), wide: true },
              { title: "Created", cell: ({ creation_date }) => <span className="text-soft">{dateTime(creation_date)}</span> },
            ]}
          />
        </>
      )}
      {creating && <CreateBucket onClose={() => setCreating(false)} />}
    </Page>
  );
}

const className = (storageClass: string): string => (storageClass === "InfrequentAccess" ? "Infrequent Access" : storageClass);

function CreateBucket({ onClose }: { onClose(): void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [location, setLocation] = useState("");
  const [jurisdiction, setJurisdiction] = useState("default");
  const [storageClass, setStorageClass] = useState("Standard");
  const create = useAction(
    async () =>
      onAccount("/r2/buckets", {
        method: "POST",
        headers: jurisdictionHeader(jurisdiction),
        body: { name, storageClass, ...(location !== "" && { locationHint: location }) },
      }),
    {
      stale: ["/r2/"],
      done: `Bucket ${name} created`,
      onDone: () => navigate({ to: "/r2/$jurisdiction/$bucket", params: { jurisdiction, bucket: name } }),
    },
  );
  return (
    <FormDialog
      title="Create a bucket"
      submit="Create bucket"
      busy={create.isPending}
      ready={name !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField
        label="Name"
        hint="3 to 63 lower-case letters, digits and hyphens. It cannot be changed later."
        value={name}
        onChange={setName}
        autoFocus
      />
      <SelectField
        label="Default storage class"
        value={storageClass}
        onChange={setStorageClass}
        options={[
          ["Standard", "Standard"],
          ["InfrequentAccess", "Infrequent Access"],
        ]}
      />
      <div className="grid gap-4 sm:grid-cols-2">
        <SelectField
          label="Location hint"
          value={location}
          onChange={setLocation}
          options={[
            ["", "None"],
            ["wnam", "Western North America"],
            ["enam", "Eastern North America"],
            ["weur", "Western Europe"],
            ["eeur", "Eastern Europe"],
            ["apac", "Asia-Pacific"],
            ["oc", "Oceania"],
          ]}
        />
        <SelectField
          label="Jurisdiction"
          value={jurisdiction}
          onChange={setJurisdiction}
          options={[
            ["default", "None"],
            ["eu", "European Union"],
            ["fedramp", "FedRAMP"],
          ]}
        />
      </div>
      <p className="text-xs text-soft">
        Data stays on this platform's own disks; hint and jurisdiction are kept for clients that ask for them.
      </p>
    </FormDialog>
  );
}
