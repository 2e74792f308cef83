/** The frame of one instance's pages, and its overview: what is indexed, item by item. */
import { createRoute, Outlet } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { Button, IconButton } from "../../components/button.tsx";
import { SelectField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, count, counted, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import {
  INSTANCES,
  type Instance,
  type Item,
  instancePath,
  itemsPath,
  jobsPath,
  type Statistics,
  sourceOf,
  timeOf,
  toneOf,
} from "./api.ts";

export const instanceRoute = createRoute({ getParentRoute: () => shellRoute, path: "/ai-search/$instance", component: Frame });
export const overviewRoute = createRoute({ getParentRoute: () => instanceRoute, path: "/", component: Overview });

export const REFRESH_MS = 2_000;
const PER_PAGE = 50;
const STATUSES = ["queued", "running", "completed", "error", "skipped", "outdated"];

export const useId = (): string => instanceRoute.useParams().instance;
export const useInstance = () => useRest<Instance>(instancePath(useId()), { refetchInterval: REFRESH_MS });

function Frame() {
  const id = useId();
  const instance = useInstance();
  const base = `/ai-search/${id}`;
  const sync = useAction(async () => onAccount(jobsPath(id), { method: "POST", body: {} }), { stale: [INSTANCES], done: "Sync started" });
  return (
    <Page
      title={id}
      crumbs={[{ label: "AI Search", to: "/ai-search" }]}
      actions={
        instance.data && (
          <Button look="primary" busy={sync.isPending} disabled={instance.data.paused} onClick={() => sync.mutate()}>
            <Icon name="refresh" />
            Sync index
          </Button>
        )
      }
    >
      <Failure error={instance.error ?? sync.error} retry={() => void instance.refetch()} />
      <Tabs
        items={[
          { label: "Overview", to: base, exact: true },
          { label: "Jobs", to: `${base}/jobs` },
          { label: "Playground", to: `${base}/playground` },
          { label: "Metrics", to: `${base}/metrics` },
          { label: "Settings", to: `${base}/settings` },
        ]}
      />
      <Outlet />
    </Page>
  );
}

function Overview() {
  const id = useId();
  const instance = useInstance();
  const stats = useRest<Statistics>(`${instancePath(id)}/stats`, { refetchInterval: REFRESH_MS });
  const [status, setStatus] = useState("");
  const query = new URLSearchParams({ per_page: String(PER_PAGE), ...(status && { status }) });
  const items = useRest<Item[]>(`${itemsPath(id)}?${query}`, { refetchInterval: REFRESH_MS });
  const again = useAction(
    async (item: Item) => onAccount(`${itemsPath(id)}/${item.id}`, { method: "PATCH", body: { next_action: "INDEX" } }),
    {
      stale: [INSTANCES],
      done: (_, { key }) => `${key} is indexed again`,
    },
  );
  if (instance.data === undefined) return <Loading />;
  return (
    <>
      {stats.data && (
        <Stats
          items={[
            { label: "Indexed", value: count(stats.data.completed), note: counted(stats.data.engine.vectorize.vectorsCount, "chunk") },
            { label: "Waiting", value: count(stats.data.queued + stats.data.running + stats.data.outdated) },
            { label: "Errors", value: count(stats.data.error) },
            { label: "Skipped", value: count(stats.data.skipped) },
          ]}
        />
      )}
      <Facts
        items={[
          [
            "Status",
            <Badge key="status" tone={toneOf(instance.data.status)}>
              {instance.data.status}
            </Badge>,
          ],
          ["Source", sourceOf(instance.data)],
          ["Last sync", dateTime(timeOf(instance.data.last_activity))],
        ]}
      />
      <div className="flex flex-wrap items-end justify-between gap-4">
        <div className="max-w-48 grow">
          <SelectField
            label="Status"
            value={status}
            onChange={setStatus}
            options={[["", "all"], ...STATUSES.map((one) => [one, one] as const)]}
          />
        </div>
        {instance.data.type === null && <Upload id={id} />}
      </div>
      <Failure error={items.error ?? again.error} retry={() => void items.refetch()} />
      {items.data?.length === 0 && <Empty title="No item">What the source has appears here with the next job.</Empty>}
      {items.data && items.data.length > 0 && (
        <Table
          label="Indexed items"
          rows={items.data}
          id={(item) => item.id}
          columns={[
            { title: "Name", cell: ({ key }) => <span className="break-all">{key}</span> },
            {
              title: "Status",
              cell: (item) => (
                <span title={item.error}>
                  <Badge tone={toneOf(item.status)}>{item.status}</Badge>
                  {item.error !== undefined && <span className="ml-2 text-soft">{item.error}</span>}
                </span>
              ),
            },
            { title: "Chunks", cell: ({ chunks_count }) => (chunks_count === null ? "" : count(chunks_count)), align: "right" },
            { title: "Size", cell: ({ file_size }) => (file_size === null ? "" : bytes(file_size)), align: "right", wide: true },
            {
              title: "",
              cell: (item) => (
                <IconButton label={`Index ${item.key} again`} onClick={() => again.mutate(item)}>
                  <Icon name="refresh" />
                </IconButton>
              ),
              align: "right",
            },
          ]}
        />
      )}
    </>
  );
}

function Upload({ id }: { id: string }) {
  const input = useRef<HTMLInputElement>(null);
  const upload = useAction(
    async (files: readonly File[]) => {
      for (const file of files) {
        const form = new FormData();
        form.set("file", file);
        await onAccount(itemsPath(id), { method: "POST", raw: form });
      }
    },
    { stale: [INSTANCES], done: (_, files) => `${files.length === 1 ? "1 file" : `${files.length} files`} uploaded` },
  );
  return (
    <div>
      <Failure error={upload.error} />
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files to upload"
        onChange={({ target }) => target.files && upload.mutate([...target.files])}
      />
      <Button busy={upload.isPending} onClick={() => input.current?.click()}>
        <Icon name="upload" />
        Upload files
      </Button>
    </div>
  );
}
