/** The frame of one zone's pages, and its tools. */
import { useQuery } from "@tanstack/react-query";
import { createRoute, Outlet } from "@tanstack/react-router";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { Switch } from "../../components/form.tsx";
import { Badge, Card, Empty, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { useAction } from "../../platform/queries.ts";
import { call } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { allOf, type Config, pathOf, type Tool, useZaraz, type Workflow, type Zone } from "./api.ts";

export const zoneRoute = createRoute({ getParentRoute: () => shellRoute, path: "/zaraz/$zone", component: ZoneFrame });
export const toolsRoute = createRoute({ getParentRoute: () => zoneRoute, path: "/", component: Tools });

function ZoneFrame() {
  const { zone } = zoneRoute.useParams();
  const info = useQuery({ queryKey: [`/zones/${zone}`], queryFn: async () => (await call<Zone>(`/zones/${zone}`)).result });
  return (
    <Page title={info.data?.name ?? "Domain"} crumbs={[{ label: "Zaraz", to: "/zaraz" }]}>
      <Failure error={info.error} retry={() => void info.refetch()} />
      <Tabs
        items={[
          { label: "Tools", to: `/zaraz/${zone}`, exact: true },
          { label: "Configuration", to: `/zaraz/${zone}/configuration` },
          { label: "Monitoring", to: `/zaraz/${zone}/monitoring` },
          { label: "History", to: `/zaraz/${zone}/history` },
        ]}
      />
      <Outlet />
    </Page>
  );
}

function Tools() {
  const { zone } = zoneRoute.useParams();
  const config = useZaraz<Config>(zone, "config");
  const turn = useAction(
    ({ id, enabled }: { id: string; enabled: boolean }) => {
      const { tools, ...rest } = config.data as Config;
      const body = { ...rest, tools: { ...tools, [id]: { ...(tools[id] as Tool), enabled } } };
      return call(pathOf(zone, "config"), { method: "PUT", body });
    },
    { stale: [allOf(zone)], done: (_result, { enabled }) => (enabled ? "Tool enabled" : "Tool disabled") },
  );
  if (config.data === undefined)
    return config.isPending ? <Loading /> : <Failure error={config.error} retry={() => void config.refetch()} />;
  const { tools, triggers, variables, debugKey } = config.data;
  return (
    <>
      <Publishing zone={zone} />
      <Failure error={turn.error} />
      {Object.keys(tools).length === 0 ? (
        <Empty title="No tool yet">Add one to the configuration: pages get the script once a tool is enabled.</Empty>
      ) : (
        <Table
          label="Tools"
          rows={Object.entries(tools)}
          id={([id]) => id}
          columns={[
            { title: "Name", cell: ([, tool]) => <span className="font-medium">{tool.name}</span> },
            { title: "Component", cell: ([, tool]) => <code className="text-xs">{tool.component}</code> },
            { title: "Actions", cell: ([, tool]) => Object.keys(tool.actions ?? {}).length },
            { title: "Purpose", cell: ([, tool]) => tool.defaultPurpose ?? "none", wide: true },
            {
              title: "Enabled",
              cell: ([id, tool]) => (
                <Switch
                  label={tool.enabled ? "On" : "Off"}
                  checked={tool.enabled}
                  disabled={turn.isPending}
                  onChange={(enabled) => turn.mutate({ id, enabled })}
                />
              ),
            },
          ]}
        />
      )}
      <Card title="General">
        <Facts
          items={[
            ["Debug key", <Copy key="debug" value={debugKey} label="the debug key" />],
            [
              "Triggers",
              Object.values(triggers)
                .map(({ name }) => name)
                .join(", ") || "none",
            ],
            [
              "Variables",
              Object.values(variables)
                .map(({ name }) => name)
                .join(", ") || "none",
            ],
          ]}
        />
      </Card>
    </>
  );
}

function Publishing({ zone }: { zone: string }) {
  const workflow = useZaraz<Workflow>(zone, "workflow");
  const stale = [allOf(zone)];
  const change = useAction((body: Workflow) => call(pathOf(zone, "workflow"), { method: "PUT", body }), {
    stale,
    done: "Workflow changed",
  });
  const publish = useAction(() => call(pathOf(zone, "publish"), { method: "POST", body: "Published in the dashboard" }), {
    stale,
    done: "Published",
  });
  if (workflow.data === undefined) return null;
  const preview = workflow.data === "preview";
  return (
    <Card
      title="Workflow"
      lead={preview ? "Changes are seen by visitors once they are published." : "Changes are live as soon as they are saved."}
      actions={
        <>
          {preview && (
            <Button look="primary" busy={publish.isPending} onClick={() => publish.mutate()}>
              Publish
            </Button>
          )}
          <Button busy={change.isPending} onClick={() => change.mutate(preview ? "realtime" : "preview")}>
            {preview ? "Work in real time" : "Preview and publish"}
          </Button>
        </>
      }
    >
      <Badge tone={preview ? "warn" : "good"}>{preview ? "Preview & Publish" : "Real time"}</Badge>
      <Failure error={change.error ?? publish.error} />
    </Card>
  );
}
