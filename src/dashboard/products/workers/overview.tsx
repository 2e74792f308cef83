/** A Worker's Overview tab: what it is made of. */
import { createRoute } from "@tanstack/react-router";
import { Copy } from "../../components/copy.tsx";
import { Card, Facts, Loading } from "../../components/page.tsx";
import { dateTime } from "../../platform/format.ts";
import { useWorker, workerRoute } from "./worker.tsx";

export const overviewRoute = createRoute({ getParentRoute: () => workerRoute, path: "/", component: Overview });

function Overview() {
  const { script, isPending } = useWorker();
  if (script === undefined) return isPending ? <Loading /> : null;
  return (
    <Card title="About">
      <Facts
        items={[
          ["Id", <Copy key="id" value={script.tag} label="the Worker's id" />],
          ["Handlers", script.handlers.join(", ") || "none"],
          ["Compatibility", [script.compatibility_date, ...script.compatibility_flags].filter(Boolean).join(", ")],
          ["Deployed from", script.last_deployed_from],
          ["Created", dateTime(script.created_on)],
          ["Changed", dateTime(script.modified_on)],
        ]}
      />
    </Card>
  );
}
