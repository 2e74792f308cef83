/** The query builder: logs and traces of all Workers, filtered, counted and grouped. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Card, Failure, Loading, Page } from "../../components/page.tsx";
import { type Asked, useKeys, useTelemetry, windows } from "../../platform/telemetry.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Draft, filterOf, QueryFilters, typeOf } from "./query-filters.tsx";
import { QueryResult } from "./query-result.tsx";

export const queryBuilderRoute = createRoute({ getParentRoute: () => shellRoute, path: "/observability", component: QueryBuilder });

const views = [
  ["calculations", "Figures"],
  ["events", "Events"],
  ["invocations", "Invocations"],
  ["traces", "Traces"],
  ["patterns", "Patterns"],
] as const;

const operators = [
  "count",
  "uniq",
  "sum",
  "avg",
  "min",
  "max",
  "median",
  "p75",
  "p90",
  "p95",
  "p99",
  "p999",
  "stddev",
  "variance",
] as const;
const POINTS = 60;

function QueryBuilder() {
  const [view, setView] = useState<Asked["view"]>("calculations");
  const [hours, setHours] = useState("1");
  const [text, setText] = useState("");
  const [filters, setFilters] = useState<readonly Draft[]>([]);
  const [operator, setOperator] = useState("count");
  const [of, setOf] = useState("$workers.wallTimeMs");
  const [groupBy, setGroupBy] = useState("$metadata.service");
  const [asked, setAsked] = useState<Asked>();
  const keys = useKeys(Number(hours)).data ?? [];
  const answer = useTelemetry(asked ?? { view: "events", parameters: {} }, Number(hours), { enabled: asked !== undefined });
  const counting = view === "calculations";
  const run = (): void => {
    const next: Asked = {
      view,
      granularity: POINTS,
      limit: view === "events" ? 100 : 20,
      parameters: {
        filters: filters.filter(({ key }) => key !== "").map((filter) => filterOf(filter, keys)),
        ...(text !== "" && { needle: { value: text } }),
        ...(counting && {
          calculations: [{ operator, ...(operator !== "count" && { key: of, keyType: typeOf(of, keys) }) }],
          groupBys: groupBy === "" ? [] : [{ type: typeOf(groupBy, keys), value: groupBy }],
        }),
      },
    };
    // The same question again is asked up to now.
    if (JSON.stringify(next) === JSON.stringify(asked)) void answer.refetch();
    else setAsked(next);
  };
  return (
    <Page title="Observability" lead="Logs and traces of all Workers that store theirs.">
      <Card title="Query">
        <form
          className="flex flex-col gap-4"
          onSubmit={(event) => {
            event.preventDefault();
            run();
          }}
        >
          <div className="grid gap-3 sm:grid-cols-3">
            <SelectField label="Show" value={view} onChange={(value) => setView(value as Asked["view"])} options={views} />
            <SelectField label="Time" value={hours} onChange={setHours} options={windows} />
            <TextField label="Search" placeholder="Text anywhere in an event" type="search" value={text} onChange={setText} />
          </div>
          <QueryFilters filters={filters} keys={keys} onChange={setFilters} />
          {counting && (
            <div className="grid gap-3 sm:grid-cols-3">
              <SelectField
                label="Figure"
                value={operator}
                onChange={setOperator}
                options={operators.map((name) => [name, name] as const)}
              />
              {operator !== "count" && <TextField label="Of the field" value={of} onChange={setOf} />}
              <TextField label="Grouped by" value={groupBy} onChange={setGroupBy} />
            </div>
          )}
          <div>
            <Button type="submit" look="primary" busy={answer.isFetching}>
              Run query
            </Button>
          </div>
        </form>
      </Card>
      <Failure error={answer.error} />
      {asked && answer.isPending && <Loading />}
      {asked && answer.data && <QueryResult answer={answer.data} asked={asked} />}
    </Page>
  );
}
