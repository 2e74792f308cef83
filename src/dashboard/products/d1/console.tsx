/** A console for SQL: what is typed is run, and each statement's rows and figures are shown. */
import { createRoute } from "@tanstack/react-router";
import { type KeyboardEvent, useState } from "react";
import { Button } from "../../components/button.tsx";
import { CodeField } from "../../components/form.tsx";
import { Failure } from "../../components/page.tsx";
import { Rows } from "../../components/sql-rows.tsx";
import { counted } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { databasePath, query } from "./api.ts";
import { databaseRoute } from "./database.tsx";

export const consoleRoute = createRoute({ getParentRoute: () => databaseRoute, path: "console", component: Console });

/** More rows than these are counted, not drawn. */
const SHOWN_MAX = 500;

function Console() {
  const { database } = databaseRoute.useParams();
  const [sql, setSql] = useState("");
  const run = useAction(async () => query(database, sql), { stale: [databasePath(database)] });
  const submit = () => {
    if (sql.trim() !== "" && !run.isPending) run.mutate();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  };
  return (
    <div className="flex flex-col gap-4">
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <CodeField
          label="SQL"
          rows={6}
          value={sql}
          onChange={setSql}
          onKeyDown={onKeyDown}
          hint="Ctrl+Enter runs it. Several statements are separated by semicolons."
        />
        <div>
          <Button type="submit" look="primary" busy={run.isPending} disabled={sql.trim() === ""}>
            Run
          </Button>
        </div>
      </form>
      <Failure error={run.error} />
      {run.data?.map(({ results, meta }, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: statements have no other identity than their place
        <section key={i} aria-label={`Result ${i + 1}`} className="flex flex-col gap-2">
          <p className="text-sm text-soft">
            {counted(results.rows.length, "row")}; {counted(meta.rows_read, "row")} read, {counted(meta.rows_written, "row")} written,{" "}
            {meta.duration.toFixed(1)} ms
            {results.rows.length > SHOWN_MAX && `; the first ${SHOWN_MAX} are shown`}
          </p>
          {results.rows.length > 0 && <Rows label={`Result ${i + 1}`} columns={results.columns} rows={results.rows.slice(0, SHOWN_MAX)} />}
        </section>
      ))}
    </div>
  );
}
