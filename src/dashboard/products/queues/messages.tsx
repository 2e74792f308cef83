/** A queue's messages: sent by hand, looked at without taking them, and acknowledged, which removes them. */
import { useQuery } from "@tanstack/react-query";
import { createRoute } from "@tanstack/react-router";
import { type DragEvent, useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { CodeField, SelectField } from "../../components/form.tsx";
import { Empty, Failure, Loading } from "../../components/page.tsx";
import { Stats } from "../../components/stats.tsx";
import { Table } from "../../components/table.tsx";
import { bytes, count, counted, dateTime } from "../../platform/format.ts";
import { useAction, useRest } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { type Backlog, contentType, type Message, queuePath, shown } from "./api.ts";
import { queueRoute } from "./queue.tsx";

export const messagesRoute = createRoute({ getParentRoute: () => queueRoute, path: "/", component: Messages });

/** As many as the API shows at once. */
const LISTED = 100;
const BACKLOG_REFRESH_MS = 5_000;

function Messages() {
  const { queue } = queueRoute.useParams();
  const path = queuePath(queue);
  const [sending, setSending] = useState(false);
  const [acknowledging, setAcknowledging] = useState(false);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const backlog = useRest<Backlog>(`${path}/metrics`, { refetchInterval: BACKLOG_REFRESH_MS });
  const list = useQuery({
    queryKey: [`${path}/messages`],
    queryFn: async ({ signal }) =>
      (await onAccount<{ messages: Message[] }>(`${path}/messages/peek`, { method: "POST", body: { batch_size: LISTED }, signal })).result
        .messages,
  });
  const picked = (list.data ?? []).filter(({ id }) => chosen.has(id));
  const acknowledge = useAction(
    async () => onAccount(`${path}/messages/purge`, { method: "POST", body: { refs: picked.map(({ ref }) => ({ ref })) } }),
    {
      stale: [path],
      done: `${counted(picked.length, "message")} acknowledged`,
      onDone: () => setAcknowledging(false),
    },
  );
  const oldest = backlog.data?.oldest_message_timestamp_ms;
  return (
    <>
      {backlog.data && (
        <Stats
          items={[
            { label: "Messages waiting", value: count(backlog.data.backlog_count), note: bytes(backlog.data.backlog_bytes) },
            { label: "Oldest", value: oldest ? dateTime(oldest) : "none" },
          ]}
        />
      )}
      <div className="flex flex-wrap gap-2">
        <Button look="primary" onClick={() => setSending(true)}>
          Send
        </Button>
        <Button busy={list.isFetching} onClick={() => void list.refetch()}>
          List
        </Button>
        {picked.length > 0 && <Button onClick={() => setAcknowledging(true)}>Acknowledge messages ({picked.length})</Button>}
      </div>
      <Failure error={list.error} />
      {list.isPending && <Loading />}
      {list.data?.length === 0 && (
        <Empty title="No message waits">Listing shows messages without taking them; consumers go on as they would.</Empty>
      )}
      {list.data && list.data.length > 0 && (
        <Table
          label="Messages"
          rows={list.data}
          id={({ id }) => id}
          selection={{ chosen: new Set(picked.map(({ id }) => id)), onChange: setChosen }}
          columns={[
            { title: "Message", cell: (message) => <Preview message={message} /> },
            { title: "Type", cell: contentType, wide: true },
            {
              title: "Sent",
              cell: ({ timestamp_ms }) => <span className="whitespace-nowrap text-soft">{dateTime(timestamp_ms)}</span>,
              wide: true,
            },
            { title: "Attempts", cell: ({ attempts }) => attempts, align: "right", wide: true },
          ]}
        />
      )}
      {sending && <SendDialog path={path} onClose={() => setSending(false)} />}
      {acknowledging && (
        <FormDialog
          title="Acknowledge messages"
          submit="Acknowledge messages"
          look="danger"
          busy={acknowledge.isPending}
          error={acknowledge.error}
          onSubmit={() => acknowledge.mutate()}
          onClose={() => setAcknowledging(false)}
        >
          <p className="text-sm text-soft">{counted(picked.length, "message")} removed for good: no consumer gets to see them.</p>
        </FormDialog>
      )}
    </>
  );
}

function Preview({ message }: { message: Message }) {
  const text = shown(message);
  return (
    <details>
      <summary className="max-w-[50vw] truncate font-mono text-xs sm:max-w-md">{text.slice(0, 200)}</summary>
      <pre className="mt-1 max-h-80 overflow-auto rounded bg-raised p-2 font-mono text-xs whitespace-pre-wrap">{text}</pre>
      <p className="mt-1 font-mono text-xs text-soft">{message.id}</p>
    </details>
  );
}

function SendDialog({ path, onClose }: { path: string; onClose(): void }) {
  const [type, setType] = useState("json");
  const [text, setText] = useState("");
  const send = useAction(
    async () =>
      onAccount(`${path}/messages`, {
        method: "POST",
        body: { content_type: type, body: type === "json" ? (JSON.parse(text) as unknown) : text },
      }),
    { stale: [path], done: "Message sent", onDone: onClose },
  );
  const drop = async (event: DragEvent) => {
    const [file] = event.dataTransfer.files;
    if (file === undefined) return;
    event.preventDefault();
    setText(await file.text());
  };
  const error = type === "json" && text !== "" ? jsonError(text) : undefined;
  return (
    <FormDialog
      title="Send a message"
      submit="Send"
      wide
      busy={send.isPending}
      ready={text !== "" && error === undefined}
      error={send.error}
      onSubmit={() => send.mutate()}
      onClose={onClose}
    >
      <SelectField
        label="Content type"
        value={type}
        onChange={setType}
        options={[
          ["json", "JSON"],
          ["text", "Text"],
        ]}
      />
      <CodeField
        label="Message"
        hint="Or drop a file here."
        value={text}
        onChange={setText}
        error={error}
        onDrop={(event) => void drop(event)}
        autoFocus
      />
    </FormDialog>
  );
}

function jsonError(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
