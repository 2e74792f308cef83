/** Data Studio: the frame of one object's pages, and its console for SQL. */
import { createRoute, Outlet } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { CodeField } from "../../components/form.tsx";
import { Failure, Page, Tabs } from "../../components/page.tsx";
import { Rows } from "../../components/sql-rows.tsx";
import { counted } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Namespace, namespacePath, query } from "./api.ts";

export const objectRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/durable-objects/$namespace/objects/$object",
  component: ObjectFrame,
});
export const consoleRoute = createRoute({ getParentRoute: () => objectRoute, path: "console", component: Console });

function ObjectFrame() {
  const { namespace, object } = objectRoute.useParams();
  const info = useRest<Namespace>(namespacePath(namespace));
  const base = `/durable-objects/${namespace}/objects/${encodeURIComponent(object)}`;
  return (
    <Page
      title={object}
      crumbs={[
        { label: "Durable Objects", to: "/durable-objects" },
        { label: info.data?.class ?? "Namespace", to: `/durable-objects/${namespace}` },
      ]}
    >
      <Tabs
        items={[
          { label: "Tables", to: base, exact: true },
          { label: "Query", to: `${base}/console` },
        ]}
      />
      <Outlet />
    </Page>
  );
}

function Console() {
  const { namespace, object } = objectRoute.useParams();
  const [sql, setSql] = useState("");
  const run = useAction(async () => query(namespace, object, [{ sql }]), { stale: [namespacePath(namespace)] });
  const [result] = run.data ?? [];
  return (
    <form
      className="flex flex-col gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        if (sql.trim() !== "" && !run.isPending) run.mutate();
      }}
    >
      <CodeField label="SQL" rows={6} value={sql} onChange={setSql} hint="Of several statements the last one's rows are shown." />
      <div>
        <Button type="submit" look="primary" busy={run.isPending} disabled={sql.trim() === ""}>
          Run
        </Button>
      </div>
      <Failure error={run.error} />
      {result && (
        <p className="text-sm text-soft">
          {counted(result.rows.length, "row")}; {counted(result.meta.rows_read, "row")} read, {counted(result.meta.rows_written, "row")}{" "}
          written
        </p>
      )}
      {result && result.rows.length > 0 && <Rows label="Result" columns={result.columns} rows={result.rows} />}
    </form>
  );
}
