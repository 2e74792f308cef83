/** The data catalog of a bucket: switched on and off, and what an Iceberg engine needs to reach it. */
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { SelectField, Switch } from "../../components/form.tsx";
import { Badge, Card, Facts, Failure, Loading } from "../../components/page.tsx";
import { useAction, useRest, useSession } from "../../platform/queries.ts";
import { ApiFailure, onAccount } from "../../platform/rest.ts";
import { hostUrl } from "../../platform/session.ts";

interface Warehouse {
  readonly name: string;
  readonly status: "active" | "inactive";
  readonly maintenance_config: { readonly compaction: { readonly state: "enabled" | "disabled"; readonly target_size_mb: string } };
}

const LEAD =
  "An Iceberg REST catalog over the bucket's objects, for Spark, PyIceberg, DuckDB and others. Pipelines write tables into it, R2 SQL reads them.";

export function CatalogCard({ jurisdiction, bucket }: { jurisdiction: string; bucket: string }) {
  const session = useSession();
  const path = `/r2-catalog/${encodeURIComponent(bucket)}`;
  const [disabling, setDisabling] = useState(false);
  const catalog = useRest<Warehouse>(path);
  const enable = useAction(async () => onAccount(`${path}/enable`, { method: "POST" }), { stale: [path], done: "Data catalog enabled" });
  const disable = useAction(async () => onAccount(`${path}/disable`, { method: "POST" }), {
    stale: [path],
    done: "Data catalog disabled",
    onDone: () => setDisabling(false),
  });
  // The catalog's name for a bucket has no place for a jurisdiction.
  if (jurisdiction !== "default") return null;

  const absent = catalog.error instanceof ApiFailure && catalog.error.status === 404;
  const active = catalog.data?.status === "active";
  return (
    <Card
      title="R2 Data Catalog"
      lead={LEAD}
      actions={
        active ? (
          <Button onClick={() => setDisabling(true)}>Disable</Button>
        ) : (
          (absent || catalog.data !== undefined) && (
            <Button look="primary" busy={enable.isPending} onClick={() => enable.mutate()}>
              Enable
            </Button>
          )
        )
      }
    >
      {catalog.isPending && <Loading rows={2} />}
      {!absent && <Failure error={catalog.error} retry={() => void catalog.refetch()} />}
      <Failure error={enable.error} />
      {catalog.data && active && (
        <Facts
          items={[
            [
              "State",
              <Badge key="state" tone="good">
                enabled
              </Badge>,
            ],
            ["Catalog URI", <Copy key="uri" value={hostUrl(session, "catalog", { bucket })} label="the catalog URI" />],
            ["Warehouse name", <Copy key="name" value={catalog.data.name} label="the warehouse name" />],
            ["Authentication", "An API token with R2 Data Catalog and R2 Storage permissions, as bearer token"],
            ["Compaction", <Compaction key="compaction" path={path} config={catalog.data.maintenance_config.compaction} />],
          ]}
        />
      )}
      {catalog.data && !active && <Badge>disabled</Badge>}
      {disabling && (
        <ConfirmDialog
          title="Disable the data catalog"
          word={bucket}
          submit="Disable"
          busy={disable.isPending}
          error={disable.error}
          onConfirm={() => disable.mutate()}
          onClose={() => setDisabling(false)}
        >
          Engines, pipelines and R2 SQL lose access to the tables of this bucket. Data and metadata stay in the bucket; enabling it again
          brings the tables back.
        </ConfirmDialog>
      )}
    </Card>
  );
}

function Compaction({ path, config }: { path: string; config: Warehouse["maintenance_config"]["compaction"] }) {
  const change = useAction(
    async (compaction: { state: "enabled" | "disabled"; target_size_mb: string }) =>
      onAccount(`${path}/maintenance-configs`, { method: "POST", body: { compaction } }),
    { stale: [path], done: "Compaction settings saved" },
  );
  return (
    <div className="flex max-w-xs flex-col gap-3">
      <Switch
        label="Merge small files"
        checked={config.state === "enabled"}
        disabled={change.isPending}
        onChange={(on) => change.mutate({ ...config, state: on ? "enabled" : "disabled" })}
      />
      {config.state === "enabled" && (
        <SelectField
          label="Target file size"
          value={config.target_size_mb}
          disabled={change.isPending}
          onChange={(target_size_mb) => change.mutate({ ...config, target_size_mb })}
          options={["64", "128", "256", "512"].map((size) => [size, `${size} MB`] as const)}
        />
      )}
      <Failure error={change.error} />
    </div>
  );
}
