/** Apps of the SFU and keys of TURN: two lists of the same shape, and making one. */
import { createRoute, Link } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { Dialog, FormDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Empty, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { Table } from "../../components/table.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Item, itemsPath, type Kind, kinds } from "./api.ts";

export const appsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/realtime",
  component: () => <Items kind="apps" empty="Browsers send and receive tracks in sessions of an app, whose secret stays on your server." />,
});
export const keysRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/realtime/turn",
  component: () => <Items kind="turn_keys" empty="A key makes credentials for clients whose network lets no direct connection through." />,
});

const tabs = [
  { label: "SFU apps", to: "/realtime", exact: true },
  { label: "TURN keys", to: "/realtime/turn" },
] as const;

/** A new item as the API answers it, with its secret. */
type Made = Readonly<Record<string, string>>;

function Items({ kind, empty }: { kind: Kind; empty: string }) {
  const { noun, title } = kinds[kind];
  const [creating, setCreating] = useState(false);
  const [made, setMade] = useState<Made>();
  const list = useRest<readonly Item[]>(itemsPath(kind));
  const create = (
    <Button look="primary" onClick={() => setCreating(true)}>
      <Icon name="plus" />
      Create {noun}
    </Button>
  );
  return (
    <Page
      title="Realtime"
      lead="Calls between browsers: an SFU for audio and video, and a TURN service."
      actions={list.data && list.data.length > 0 && create}
    >
      <Tabs items={tabs} />
      {list.isPending && <Loading />}
      <Failure error={list.error} retry={() => void list.refetch()} />
      {list.data?.length === 0 && (
        <Empty title={`No ${noun} yet`} action={create}>
          {empty}
        </Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label={title}
          rows={list.data}
          id={({ uid }) => uid}
          columns={[
            {
              title: "Name",
              cell: ({ uid, name }) => (
                <Link
                  to={kind === "apps" ? "/realtime/apps/$item" : "/realtime/turn/$item"}
                  params={{ item: uid }}
                  className="font-medium text-accent underline-offset-4 hover:underline"
                >
                  {name || uid}
                </Link>
              ),
            },
            { title: "Id", cell: ({ uid }) => <code className="text-xs text-soft">{uid}</code>, wide: true },
            { title: "Created", cell: ({ created }) => <span className="text-soft">{dateTime(created)}</span>, wide: true },
          ]}
        />
      )}
      {creating && <Create kind={kind} onMade={setMade} onClose={() => setCreating(false)} />}
      {made && <SecretOnce kind={kind} item={made} onClose={() => setMade(undefined)} />}
    </Page>
  );
}

function Create({ kind, onMade, onClose }: { kind: Kind; onMade(item: Made): void; onClose(): void }) {
  const { noun } = kinds[kind];
  const [name, setName] = useState("");
  const create = useAction(async () => (await onAccount<Made>(itemsPath(kind), { method: "POST", body: { name } })).result, {
    stale: [itemsPath(kind)],
    onDone(item) {
      onClose();
      onMade(item);
    },
  });
  return (
    <FormDialog
      title={kind === "apps" ? "Create an app" : "Create a TURN key"}
      submit={`Create ${noun}`}
      busy={create.isPending}
      ready={name !== ""}
      error={create.error}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <TextField label="Name" value={name} onChange={setName} autoFocus />
    </FormDialog>
  );
}

function SecretOnce({ kind, item, onClose }: { kind: Kind; item: Made; onClose(): void }) {
  const { secret, secretLabel } = kinds[kind];
  return (
    <Dialog title={`${item.name} created`} onClose={onClose} wide>
      <div className="flex flex-col gap-4">
        <p className="text-sm text-soft">Keep the {secretLabel.replace("Secret", "secret")} now: it is not shown again.</p>
        <Facts
          items={[
            ["Id", <Copy key="id" value={item.uid ?? ""} label="the id" />],
            [secretLabel, <Copy key="secret" value={item[secret] ?? ""} label="the secret" />],
          ]}
        />
        <div className="flex justify-end">
          <Button look="primary" onClick={onClose}>
            Done
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
