/** A namespace's Logs tab: what its objects logged, or one of them by its id. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { TextField } from "../../components/form.tsx";
import { LogSearch } from "../../components/log-search.tsx";
import { type Filter, ofWorker } from "../../platform/telemetry.ts";
import type { Namespace } from "./api.ts";
import { namespaceRoute, useNamespace } from "./namespace.tsx";

export const logsRoute = createRoute({ getParentRoute: () => namespaceRoute, path: "logs", component: Logs });

const is = (key: string, value: string): Filter => ({ key, operation: "eq", type: "string", value });

function Logs() {
  const { data } = useNamespace();
  return data === undefined ? null : <OfClass {...data} />;
}

function OfClass({ script, class: className }: Namespace) {
  const [object, setObject] = useState("");
  const id = object.trim();
  const filters = [
    ofWorker(script),
    is("$workers.executionModel", "durableObject"),
    // Objects of each jurisdiction are of a class of its own in the process.
    { ...is("$workers.entrypoint", `${className},${className}@eu,${className}@fedramp`), operation: "in" },
    ...(id === "" ? [] : [is("$workers.durableObjectId", id)]),
  ];
  return (
    <LogSearch
      filters={filters}
      empty="Nothing matches in this time. Logs are stored with observability.enabled in the Worker's configuration."
      fields={
        <div className="min-w-64 flex-1">
          <TextField label="Object id" placeholder="All objects" value={object} onChange={setObject} type="search" />
        </div>
      }
    />
  );
}
