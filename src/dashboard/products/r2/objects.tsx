/** The object browser: keys as folders or as a flat list, upload, download, details, and deleting many at once. */
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { createRoute, Link, useNavigate } from "@tanstack/react-router";
import { type DragEvent, type ReactNode, useState } from "react";
import { Button } from "../../components/button.tsx";
import { droppedFiles, UploadButtons } from "../../components/choose-files.tsx";
import { Switch, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Badge, Empty, Failure, Loading } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, counted, dateTime } from "../../platform/format.ts";
import { useRest } from "../../platform/queries.ts";
import { type BucketRef, bucketPath, jurisdictionHeader, type LockRule, listObjects, lockOf, type StoredObject } from "./api.ts";
import { bucketRoute, useBucket } from "./bucket.tsx";
import { DeleteDialog } from "./delete-dialog.tsx";
import { ObjectDialog } from "./object-dialog.tsx";
import { uploads } from "./uploads.ts";

export const objectsRoute = createRoute({
  getParentRoute: () => bucketRoute,
  path: "/",
  validateSearch: (search: Record<string, unknown>): { prefix?: string; flat?: true } => ({
    ...(typeof search.prefix === "string" && search.prefix !== "" && { prefix: search.prefix }),
    ...(search.flat === true && { flat: true as const }),
  }),
  component: Objects,
});

/** A row is an object, or all that lies under a prefix. Its id is its key; a prefix ends with the delimiter and has no object. */
interface Row {
  readonly id: string;
  readonly name: string;
  readonly object?: StoredObject;
}

const DELIMITER = "/";

function Objects() {
  const ref = useBucket();
  const { prefix = "", flat = false } = objectsRoute.useSearch();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [deleting, setDeleting] = useState(false);
  const [shown, setShown] = useState<StoredObject>();
  const [dropping, setDropping] = useState(false);
  const list = useObjects(ref, prefix, flat);
  const locks = useRest<{ rules: LockRule[] }>(`${bucketPath(ref)}/lock`, { headers: jurisdictionHeader(ref.jurisdiction) });

  const rows = list.data?.pages.flatMap((page): Row[] => [
    ...page.info.delimited.map((id): Row => ({ id, name: id.slice(prefix.length) })),
    ...page.result.map(
      (object): Row => ({ id: object.key, name: flat ? object.key : object.key.slice(prefix.length) || object.key, object }),
    ),
  ]);
  const present = new Set([...chosen].filter((id) => rows?.some((row) => row.id === id)));
  const drop = async (event: DragEvent) => {
    event.preventDefault();
    setDropping(false);
    const files = await droppedFiles(event.dataTransfer);
    uploads.add(
      ref,
      files.map(({ path, file }) => ({ key: prefix + path, file })),
    );
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a second way to what the upload buttons do.
    <div
      className={`flex flex-col gap-4 rounded-xl ${dropping ? "outline-2 outline-offset-4 outline-accent outline-dashed" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setDropping(true);
      }}
      onDragLeave={(event) => !event.currentTarget.contains(event.relatedTarget as Node | null) && setDropping(false)}
      onDrop={(event) => void drop(event)}
    >
      <Toolbar refOf={ref} prefix={prefix} flat={flat}>
        {present.size > 0 && (
          <Button look="danger" onClick={() => setDeleting(true)}>
            <Icon name="trash" />
            Delete {present.size}
          </Button>
        )}
        <UploadButtons
          onFiles={(files) =>
            uploads.add(
              ref,
              files.map(({ path, file }) => ({ key: prefix + path, file })),
            )
          }
        />
      </Toolbar>
      <Failure error={list.error} retry={() => void list.refetch()} />
      {rows === undefined ? (
        list.error === null && <Loading rows={5} />
      ) : rows.length === 0 ? (
        <Empty title={prefix === "" ? "This bucket is empty" : "Nothing under this prefix"}>
          Drop files or folders here, or use the buttons above. With wrangler:{" "}
          <code>wrangler r2 object put {ref.bucket}/KEY --file FILE</code>
        </Empty>
      ) : (
        <>
          <Table
            label="Objects"
            rows={rows}
            id={(row) => row.id}
            selection={{ chosen: present, onChange: setChosen }}
            columns={[
              {
                title: "Name",
                cell: (row) => (
                  <Name
                    row={row}
                    refOf={ref}
                    lock={row.object && lockOf(locks.data?.rules ?? [], row.object, Date.now())}
                    onOpen={setShown}
                  />
                ),
              },
              {
                title: "Type",
                cell: ({ object }) => <span className="text-soft">{object?.http_metadata.contentType ?? ""}</span>,
                wide: true,
              },
              {
                title: "Size",
                cell: ({ object }) => object && <span className="whitespace-nowrap">{bytes(object.size)}</span>,
                align: "right",
              },
              { title: "Modified", cell: ({ object }) => <span className="text-soft">{dateTime(object?.last_modified)}</span>, wide: true },
            ]}
          />
          <div className="flex items-center justify-between text-sm text-soft">
            <span>
              {counted(rows.length, "entry").replace("entrys", "entries")}
              {list.hasNextPage && " so far"}
            </span>
            {list.hasNextPage && (
              <Button busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
                Load more
              </Button>
            )}
          </div>
        </>
      )}
      {deleting && rows && (
        <DeleteDialog
          bucket={ref}
          choice={{
            keys: rows.filter((row) => present.has(row.id) && row.object !== undefined).map((row) => row.id),
            prefixes: rows.filter((row) => present.has(row.id) && row.object === undefined).map((row) => row.id),
          }}
          onClose={() => setDeleting(false)}
        />
      )}
      {shown && (
        <ObjectDialog
          bucket={ref}
          object={shown}
          lock={lockOf(locks.data?.rules ?? [], shown, Date.now())}
          onClose={() => setShown(undefined)}
          onDelete={() => {
            setChosen(new Set([shown.key]));
            setShown(undefined);
            setDeleting(true);
          }}
        />
      )}
    </div>
  );
}

function useObjects(ref: BucketRef, prefix: string, flat: boolean) {
  return useInfiniteQuery({
    queryKey: [`${bucketPath(ref)}/objects`, ref.jurisdiction, prefix, flat],
    queryFn: ({ pageParam, signal }) => listObjects(ref, { prefix, ...(!flat && { delimiter: DELIMITER }), cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ info }) => (info.is_truncated ? info.cursor : undefined),
    placeholderData: keepPreviousData,
  });
}

/** Where one is, how keys are shown, and what can be done. */
function Toolbar({ refOf, prefix, flat, children }: { refOf: BucketRef; prefix: string; flat: boolean; children: ReactNode }) {
  const navigate = useNavigate();
  const [typed, setTyped] = useState<string>();
  const go = (search: { prefix?: string; flat?: true }) => navigate({ to: "/r2/$jurisdiction/$bucket", params: refOf, search });
  const parts = prefix.split(DELIMITER).filter((part) => part !== "");
  const crumb = "rounded px-1 underline-offset-4 hover:text-ink hover:underline";
  return (
    <>
      <div className="flex flex-wrap items-end justify-between gap-3">
        <form
          className="flex min-w-0 flex-1 basis-64 items-end gap-2 sm:max-w-sm"
          onSubmit={(event) => {
            event.preventDefault();
            void go({ ...((typed ?? prefix) ? { prefix: typed ?? prefix } : {}), ...(flat && { flat }) });
            setTyped(undefined);
          }}
        >
          <div className="min-w-0 flex-1">
            <TextField label="Prefix" type="search" value={typed ?? prefix} onChange={setTyped} placeholder="images/2026/" />
          </div>
          <Button type="submit">Go</Button>
        </form>
        <div className="flex flex-wrap gap-2">{children}</div>
      </div>
      <div className="flex flex-wrap items-center justify-between gap-3 text-sm">
        <nav aria-label="Folders" className="flex min-w-0 flex-wrap items-center gap-0.5 text-soft">
          <Link to="/r2/$jurisdiction/$bucket" params={refOf} search={flat ? { flat } : {}} className={crumb}>
            {refOf.bucket}
          </Link>
          {parts.map((part, i) => {
            const path = parts.slice(0, i + 1).join(DELIMITER) + (i < parts.length - 1 || prefix.endsWith(DELIMITER) ? DELIMITER : "");
            return (
              <span key={path} className="flex items-center gap-0.5">
                <span aria-hidden="true">/</span>
                <Link to="/r2/$jurisdiction/$bucket" params={refOf} search={{ prefix: path, ...(flat && { flat }) }} className={crumb}>
                  {part}
                </Link>
              </span>
            );
          })}
        </nav>
        <Switch
          label="View prefixes as directories"
          checked={!flat}
          onChange={(folders) => void go({ ...(prefix !== "" && { prefix }), ...(!folders && { flat: true }) })}
        />
      </div>
    </>
  );
}

function Name({
  row,
  refOf,
  lock,
  onOpen,
}: {
  row: Row;
  refOf: BucketRef;
  lock: LockRule | undefined;
  onOpen(object: StoredObject): void;
}) {
  const { object } = row;
  const shape = "min-w-0 text-left font-medium break-all underline-offset-4 hover:underline";
  return (
    <span className="flex items-center gap-2">
      {object === undefined ? (
        <>
          <Icon name="folder" className="size-4 text-accent" />
          <Link to="/r2/$jurisdiction/$bucket" params={refOf} search={{ prefix: row.id }} className={shape}>
            {row.name}
          </Link>
        </>
      ) : (
        <>
          <Icon name="file" className="size-4 text-soft" />
          <button type="button" className={shape} onClick={() => onOpen(object)}>
            {row.name}
          </button>
          {lock && (
            <Badge tone="warn">
              <Icon name="lock" className="size-3" />
              Locked
            </Badge>
          )}
        </>
      )}
    </span>
  );
}
