/** The whole configuration of a zone as text. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { CodeField } from "../../components/form.tsx";
import { Card, Failure, Loading } from "../../components/page.tsx";
import { useAction } from "../../platform/queries.ts";
import { call } from "../../platform/rest.ts";
import { allOf, type Config, pathOf, useZaraz } from "./api.ts";
import { zoneRoute } from "./zone.tsx";

export const configurationRoute = createRoute({ getParentRoute: () => zoneRoute, path: "configuration", component: Configuration });

function Configuration() {
  const { zone } = zoneRoute.useParams();
  const config = useZaraz<Config>(zone, "config");
  if (config.data === undefined)
    return config.isPending ? <Loading /> : <Failure error={config.error} retry={() => void config.refetch()} />;
  const text = JSON.stringify(config.data, null, 2);
  return <Editor key={text} zone={zone} saved={text} />;
}

function Editor({ zone, saved }: { zone: string; saved: string }) {
  const [text, setText] = useState(saved);
  const fault = faultIn(text);
  const save = useAction(() => call(pathOf(zone, "config"), { method: "PUT", body: JSON.parse(text) as unknown }), {
    stale: [allOf(zone)],
    done: "Configuration saved",
  });
  return (
    <Card title="Configuration" lead="As the REST API and an export have it. Secret variables keep their values when none is given.">
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <CodeField label="JSON" value={text} onChange={setText} rows={28} {...(fault !== undefined && { error: fault })} />
        <Failure error={save.error} />
        <div>
          <Button type="submit" look="primary" busy={save.isPending} disabled={fault !== undefined || text === saved}>
            Save
          </Button>
        </div>
      </form>
    </Card>
  );
}

function faultIn(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
