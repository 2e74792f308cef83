/** Host names of the owner's own at which the bucket is public. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { ConfirmDialog, FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Badge, Card, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useAction, useRest } from "../../platform/queries.ts";
import { call } from "../../platform/rest.ts";
import { type BucketRef, bucketPath, jurisdictionHeader, onBucket } from "./api.ts";

interface Domain {
  readonly domain: string;
  readonly enabled: boolean;
  readonly minTLS?: string;
  readonly status: { readonly ownership: string; readonly ssl: string };
}

/** R2 keeps the id and does not look the zone up: a name can be connected before its zone is made. */
const NO_ZONE = "none";

/** The id of the account's zone that the name lies in: the longest that the token may see. */
async function zoneOf(domain: string): Promise<string> {
  const labels = domain.split(".");
  for (let from = 0; from < labels.length - 1; from++) {
    const [zone] = (await call<{ id: string }[]>(`/zones?name=${encodeURIComponent(labels.slice(from).join("."))}`)).result;
    if (zone !== undefined) return zone.id;
  }
  return NO_ZONE;
}

export function CustomDomainsCard({ bucket }: { bucket: BucketRef }) {
  const path = `${bucketPath(bucket)}/domains/custom`;
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<string>();
  const [domain, setDomain] = useState("");
  const list = useRest<{ domains: Domain[] }>(path, { headers: jurisdictionHeader(bucket.jurisdiction) });
  const at = (name: string) => `/domains/custom/${encodeURIComponent(name)}`;
  const add = useAction(
    async () => {
      const name = domain.trim().toLowerCase();
      const body = { domain: name, zoneId: await zoneOf(name), enabled: true };
      return onBucket(bucket, "/domains/custom", { method: "POST", body });
    },
    {
      stale: [path],
      done: `${domain} connected`,
      onDone: () => {
        setAdding(false);
        setDomain("");
      },
    },
  );
  const change = useAction(
    async ({ name, enabled }: { name: string; enabled: boolean }) => onBucket(bucket, at(name), { method: "PUT", body: { enabled } }),
    {
      stale: [path],
      done: (_, { name, enabled }) => `${name} ${enabled ? "enabled" : "disabled"}`,
    },
  );
  const remove = useAction(async (name: string) => onBucket(bucket, at(name), { method: "DELETE" }), {
    stale: [path],
    done: (_, name) => `${name} removed`,
    onDone: () => setRemoving(undefined),
  });
  return (
    <Card
      title="Custom domains"
      lead="Serve the bucket at names of your own. Point the name at this platform in your DNS; what it serves is public."
      actions={<Button onClick={() => setAdding(true)}>Connect domain</Button>}
    >
      {list.isPending && <Loading rows={1} />}
      <Failure error={list.error ?? change.error} />
      {list.data?.domains.length === 0 && <p className="text-sm text-soft">No domain is connected.</p>}
      {list.data && list.data.domains.length > 0 && (
        <Table
          label="Custom domains"
          rows={list.data.domains}
          id={(row) => row.domain}
          columns={[
            {
              title: "Domain",
              cell: (row) => (
                <a href={`https://${row.domain}`} target="_blank" rel="noreferrer" className="text-accent hover:underline">
                  {row.domain}
                </a>
              ),
            },
            { title: "Status", cell: (row) => <StatusBadge domain={row} /> },
            { title: "Least TLS", cell: (row) => row.minTLS ?? "", wide: true },
          ]}
          actions={(row) => (
            <>
              <Button look="quiet" disabled={change.isPending} onClick={() => change.mutate({ name: row.domain, enabled: !row.enabled })}>
                {row.enabled ? "Disable" : "Enable"}
              </Button>
              <Button look="quiet" onClick={() => setRemoving(row.domain)}>
                Remove
              </Button>
            </>
          )}
        />
      )}
      {adding && (
        <FormDialog
          title="Connect a domain"
          submit="Connect"
          busy={add.isPending}
          ready={domain.trim() !== ""}
          error={add.error}
          onSubmit={() => add.mutate()}
          onClose={() => setAdding(false)}
        >
          <TextField label="Domain" value={domain} onChange={setDomain} placeholder="files.example.com" autoFocus />
        </FormDialog>
      )}
      {removing !== undefined && (
        <ConfirmDialog
          title="Remove domain"
          word={removing}
          submit="Remove"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate(removing)}
          onClose={() => setRemoving(undefined)}
        >
          Links to objects at this name stop working.
        </ConfirmDialog>
      )}
    </Card>
  );
}

function StatusBadge({ domain }: { domain: Domain }) {
  if (!domain.enabled) return <Badge>Disabled</Badge>;
  const active = domain.status.ownership === "active" && domain.status.ssl === "active";
  return <Badge tone={active ? "good" : "warn"}>{active ? "Active" : "Initializing"}</Badge>;
}
