/** One app of the SFU or one key of TURN: its name, how clients reach it, what a key relayed, and its end. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { hoursIn, hoursSearch } from "../../components/figures.tsx";
import { TextField } from "../../components/form.tsx";
import { Card, Facts, Failure, Loading, Page } from "../../components/page.tsx";
import { dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { CALLS, type Item, itemPath, type Kind, kinds } from "./api.ts";
import { TurnUsage } from "./turn-usage.tsx";

export const appRoute = createRoute({ getParentRoute: () => shellRoute, path: "/realtime/apps/$item", component: AppPage });
export const keyRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/realtime/turn/$item",
  validateSearch: hoursSearch,
  component: KeyPage,
});

function AppPage() {
  return <ItemPage kind="apps" uid={appRoute.useParams().item} />;
}

function KeyPage() {
  const { item } = keyRoute.useParams();
  const hours = hoursIn(keyRoute.useSearch());
  const navigate = keyRoute.useNavigate();
  return (
    <ItemPage kind="turn_keys" uid={item}>
      <TurnUsage keyUid={item} hours={hours} onChange={(search) => void navigate({ search })} />
    </ItemPage>
  );
}

function ItemPage({ kind, uid, children }: { kind: Kind; uid: string; children?: ReactNode }) {
  const item = useRest<Item>(itemPath(kind, uid));
  const api = `${location.protocol}//${location.host.replace(/^dash\./, "rtc.")}/v1`;
  const url = kind === "apps" ? `${api}/apps/${uid}` : `${api}/turn/keys/${uid}/credentials/generate-ice-servers`;
  const lists = [{ label: "Realtime", to: "/realtime" }, ...(kind === "apps" ? [] : [{ label: kinds[kind].title, to: "/realtime/turn" }])];
  return (
    <Page title={item.data?.name || uid} crumbs={lists}>
      <Failure error={item.error} retry={() => void item.refetch()} />
      {item.isPending && <Loading />}
      {item.data && (
        <>
          <Card title="General">
            <Facts
              items={[
                ["Id", <Copy key="id" value={uid} label="the id" />],
                [kind === "apps" ? "API of sessions" : "Credentials", <Copy key="url" value={url} label="the URL" />],
                ["Created", dateTime(item.data.created)],
              ]}
            />
          </Card>
          {children}
          <Rename key={item.data.name} kind={kind} item={item.data} />
          <Delete kind={kind} item={item.data} />
        </>
      )}
    </Page>
  );
}

function Rename({ kind, item }: { kind: Kind; item: Item }) {
  const [name, setName] = useState(item.name);
  const save = useAction(async () => onAccount(itemPath(kind, item.uid), { method: "PUT", body: { name } }), {
    stale: [CALLS],
    done: "Name saved",
  });
  return (
    <Card title="Settings">
      <form
        className="flex max-w-sm flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <TextField label="Name" value={name} onChange={setName} />
        <Failure error={save.error} />
        <div>
          <Button type="submit" look="primary" busy={save.isPending} disabled={name === item.name}>
            Save
          </Button>
        </div>
      </form>
    </Card>
  );
}

function Delete({ kind, item }: { kind: Kind; item: Item }) {
  const title = `Delete ${kinds[kind].noun}`;
  const word = item.name || item.uid;
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(itemPath(kind, item.uid), { method: "DELETE" }), {
    stale: [CALLS],
    done: `${word} deleted`,
    onDone: () => navigate({ to: kind === "apps" ? "/realtime" : "/realtime/turn" }),
  });
  const button = (
    <Button look="danger" onClick={() => setAsking(true)}>
      {title}
    </Button>
  );
  return (
    <Card title={title} lead={kind === "apps" ? "Its secret opens nothing any more." : "Its credentials are revoked."} actions={button}>
      {asking && (
        <ConfirmDialog
          title={title}
          word={word}
          submit={title}
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Whoever uses it fails from then on.
        </ConfirmDialog>
      )}
    </Card>
  );
}
