/** One namespace: its pairs, browsed by prefix, added, changed and deleted. */
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog, FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Card, Empty, Failure, Loading, Page } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { counted, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Key, NAMESPACES, type Namespace, namespacePath } from "./api.ts";
import { PairDialog } from "./pair-dialog.tsx";

export const pairsRoute = createRoute({ getParentRoute: () => shellRoute, path: "/kv/$namespace", component: Pairs });

const PAGE = 100;

function usePairs(namespace: string, prefix: string) {
  return useInfiniteQuery({
    queryKey: [`${namespacePath(namespace)}/keys`, prefix],
    queryFn: ({ pageParam, signal }) => {
      const query = new URLSearchParams({
        limit: String(PAGE),
        ...(prefix !== "" && { prefix }),
        ...(pageParam !== "" && { cursor: pageParam }),
      });
      return onAccount<Key[], { cursor?: string }>(`${namespacePath(namespace)}/keys?${query}`, { signal });
    },
    initialPageParam: "",
    getNextPageParam: ({ info }) => info.cursor || undefined,
    placeholderData: keepPreviousData,
  });
}

function Pairs() {
  const { namespace } = pairsRoute.useParams();
  const [typed, setTyped] = useState("");
  const [prefix, setPrefix] = useState("");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [opened, setOpened] = useState<Key | "new">();
  const [deleting, setDeleting] = useState(false);
  const info = useRest<Namespace>(namespacePath(namespace));
  const list = usePairs(namespace, prefix);
  const keys = list.data?.pages.flatMap(({ result }) => result);
  const present = [...chosen].filter((name) => keys?.some((key) => key.name === name));
  const remove = useAction(async () => onAccount(`${namespacePath(namespace)}/bulk/delete`, { method: "POST", body: present }), {
    stale: [`${namespacePath(namespace)}/keys`],
    done: `${counted(present.length, "entry").replace("entrys", "entries")} deleted`,
    onDone: () => setDeleting(false),
  });
  return (
    <Page
      title={info.data?.title ?? "Namespace"}
      crumbs={[{ label: "KV", to: "/kv" }]}
      lead={<Copy value={namespace} label="the namespace's id" />}
      actions={
        <>
          <Link to="/kv/$namespace/metrics" params={{ namespace }} className="text-accent underline-offset-4 hover:underline">
            Metrics
          </Link>
          {present.length > 0 && (
            <Button look="danger" onClick={() => setDeleting(true)}>
              <Icon name="trash" />
              Delete {present.length}
            </Button>
          )}
          <Button look="primary" onClick={() => setOpened("new")}>
            <Icon name="plus" />
            Add entry
          </Button>
        </>
      }
    >
      <form
        className="flex max-w-sm items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          setPrefix(typed);
        }}
      >
        <div className="min-w-0 flex-1">
          <TextField label="Prefix" type="search" value={typed} onChange={setTyped} />
        </div>
        <Button type="submit">Go</Button>
      </form>
      <Failure error={info.error ?? list.error} retry={() => void list.refetch()} />
      {list.isPending && <Loading />}
      {keys?.length === 0 && (
        <Empty title={prefix === "" ? "No entry yet" : "No entry under this prefix"}>Add one here, from a Worker, or with wrangler.</Empty>
      )}
      {keys && keys.length > 0 && (
        <Table
          label="Entries"
          rows={keys}
          id={({ name }) => name}
          selection={{ chosen: new Set(present), onChange: setChosen }}
          columns={[
            {
              title: "Key",
              cell: (key) => (
                <button
                  type="button"
                  className="text-left font-medium break-all underline-offset-4 hover:underline"
                  onClick={() => setOpened(key)}
                >
                  {key.name}
                </button>
              ),
            },
            {
              title: "Metadata",
              cell: ({ metadata }) => metadata !== undefined && <code className="text-xs">{JSON.stringify(metadata)}</code>,
              wide: true,
            },
            {
              title: "Expires",
              cell: ({ expiration }) => <span className="text-soft">{expiration === undefined ? "" : dateTime(expiration * 1000)}</span>,
              wide: true,
            },
          ]}
        />
      )}
      {list.hasNextPage && (
        <div>
          <Button busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            Load more
          </Button>
        </div>
      )}
      <DeleteNamespace namespace={namespace} title={info.data?.title} />
      {opened !== undefined && (
        <PairDialog namespace={namespace} entry={opened === "new" ? undefined : opened} onClose={() => setOpened(undefined)} />
      )}
      {deleting && (
        <FormDialog
          title="Delete entries"
          submit="Delete"
          look="danger"
          busy={remove.isPending}
          error={remove.error}
          onSubmit={() => remove.mutate()}
          onClose={() => setDeleting(false)}
        >
          <p className="text-sm text-soft">
            {present.length === 1 ? `${present[0]} is` : `${present.length} entries are`} deleted for good.
          </p>
        </FormDialog>
      )}
    </Page>
  );
}

function DeleteNamespace({ namespace, title }: { namespace: string; title: string | undefined }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(namespacePath(namespace), { method: "DELETE" }), {
    stale: [NAMESPACES],
    done: `Namespace ${title} deleted`,
    onDone: () => navigate({ to: "/kv" }),
  });
  if (title === undefined) return null;
  return (
    <Card
      title="Delete namespace"
      lead="All of its entries go with it."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete namespace
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete namespace"
          word={title}
          submit="Delete namespace"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Workers that are bound to it fail from then on.
        </ConfirmDialog>
      )}
    </Card>
  );
}
