/** The frame of one queue's pages, and its settings. */
import { createRoute, Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Copy } from "../../components/copy.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/form.tsx";
import { Card, Facts, Failure, Loading, Page, Tabs } from "../../components/page.tsx";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { QUEUES, type Queue, queuePath } from "./api.ts";

export const queueRoute = createRoute({ getParentRoute: () => shellRoute, path: "/queues/$queue", component: QueueFrame });
export const settingsRoute = createRoute({ getParentRoute: () => queueRoute, path: "settings", component: Settings });

const useQueue = () => useRest<Queue>(queuePath(queueRoute.useParams().queue));

function QueueFrame() {
  const { queue: id } = queueRoute.useParams();
  const queue = useQueue();
  return (
    <Page title={queue.data?.queue_name ?? "Queue"} crumbs={[{ label: "Queues", to: "/queues" }]}>
      <Failure error={queue.error} retry={() => void queue.refetch()} />
      <Tabs
        items={[
          { label: "Messages", to: `/queues/${id}`, exact: true },
          { label: "Settings", to: `/queues/${id}/settings` },
        ]}
      />
      <Outlet />
    </Page>
  );
}

function Settings() {
  const queue = useQueue();
  if (queue.data === undefined) return queue.isPending ? <Loading /> : null;
  const { queue_id, producers, consumers } = queue.data;
  return (
    <>
      <Card title="General">
        <Facts
          items={[
            ["Id", <Copy key="id" value={queue_id} label="the queue's id" />],
            ["Producers", producers.map((one) => one.script ?? one.bucket_name).join(", ") || "none"],
            ["Consumer", consumers.map((one) => one.script ?? "clients that pull by HTTP").join(", ") || "none"],
            consumers[0]?.dead_letter_queue !== undefined && ["Dead letters", consumers[0].dead_letter_queue],
          ]}
        />
      </Card>
      <Delivery key={JSON.stringify(queue.data.settings)} queue={queue.data} />
      <Delete queue={queue.data} />
    </>
  );
}

function Delivery({ queue }: { queue: Queue }) {
  const [delay, setDelay] = useState(String(queue.settings.delivery_delay));
  const [retention, setRetention] = useState(String(queue.settings.message_retention_period));
  const save = useAction(
    async () =>
      onAccount(queuePath(queue.queue_id), {
        method: "PATCH",
        body: { settings: { delivery_delay: Number(delay), message_retention_period: Number(retention) } },
      }),
    { stale: [QUEUES], done: "Settings saved" },
  );
  return (
    <Card title="Delivery">
      <form
        className="flex max-w-sm flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <TextField
          label="Delay in seconds"
          hint="Before a message can be delivered."
          inputMode="numeric"
          value={delay}
          onChange={setDelay}
        />
        <TextField
          label="Retention in seconds"
          hint="After it messages are deleted."
          inputMode="numeric"
          value={retention}
          onChange={setRetention}
        />
        <Failure error={save.error} />
        <div>
          <Button type="submit" look="primary" busy={save.isPending} disabled={!/^\d+$/.test(delay) || !/^\d+$/.test(retention)}>
            Save
          </Button>
        </div>
      </form>
    </Card>
  );
}

function Delete({ queue }: { queue: Queue }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(queuePath(queue.queue_id), { method: "DELETE" }), {
    stale: [QUEUES],
    done: `Queue ${queue.queue_name} deleted`,
    onDone: () => navigate({ to: "/queues" }),
  });
  return (
    <Card
      title="Delete queue"
      lead="Messages that wait in it go with it."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete queue
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete queue"
          word={queue.queue_name}
          submit="Delete queue"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Workers that send to it fail from then on.
        </ConfirmDialog>
      )}
    </Card>
  );
}
