/**
 * Making a pipeline in three steps: stream, sink, SQL. Nothing is made before the last one; then stream, sink and pipeline
 * in this order, and what was made stays made when a later one is refused: a second attempt goes on from there.
 */
import { useQuery } from "@tanstack/react-query";
import { createRoute, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { Button } from "../../components/button.tsx";
import { CodeField, TextField } from "../../components/form.tsx";
import { Card, Failure, Loading, Page } from "../../components/page.tsx";
import { useAction } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { shellRoute } from "../../shell/root.tsx";
import { type Pipeline, type Sink, type Stream, V1 } from "./api.ts";
import { useList } from "./lists.tsx";
import { createSink, newSinkDraft, SinkStep, sinkReady } from "./wizard-sink.tsx";
import { createStream, newStreamDraft, StreamStep, streamReady } from "./wizard-stream.tsx";

export const wizardRoute = createRoute({ getParentRoute: () => shellRoute, path: "/pipelines/new", component: Wizard });

const steps = ["Stream", "Sink", "SQL"] as const;

function Wizard() {
  const navigate = useNavigate();
  const streams = useList<Stream>("streams");
  const sinks = useList<Sink>("sinks");
  const buckets = useQuery({
    queryKey: ["/r2/buckets", "names"],
    queryFn: async () =>
      (await onAccount<{ buckets: { name: string }[] }>("/r2/buckets?per_page=1000")).result.buckets.map(({ name }) => name),
  });
  const [step, setStep] = useState(0);
  const [stream, setStream] = useState(newStreamDraft);
  const [sink, setSink] = useState(newSinkDraft);
  const [name, setName] = useState("");
  const [sql, setSql] = useState<string>();

  const nameOf = (draft: { existing: string; name: string }, list: readonly { id: string; name: string }[] | undefined): string =>
    list?.find(({ id }) => id === draft.existing)?.name ?? draft.name;
  const proposal = `INSERT INTO ${nameOf(sink, sinks.data)}\nSELECT * FROM ${nameOf(stream, streams.data)};`;

  const create = useAction(
    async () => {
      if (stream.existing === "") {
        setStream({ ...stream, existing: (await createStream(stream)).id });
        void streams.refetch();
      }
      if (sink.existing === "") {
        setSink({ ...sink, existing: (await createSink(sink)).id });
        void sinks.refetch();
      }
      return (await onAccount<Pipeline>(`${V1}/pipelines`, { method: "POST", body: { name, sql: sql ?? proposal } })).result;
    },
    {
      stale: [V1],
      done: `Pipeline ${name} created`,
      onDone: ({ id }) => navigate({ to: "/pipelines/$pipeline", params: { pipeline: id } }),
    },
  );
  const ready = [streamReady(stream), sinkReady(sink), name !== ""][step] === true;
  const next = (event: FormEvent) => {
    event.preventDefault();
    if (!ready) return;
    if (step < steps.length - 1) setStep(step + 1);
    else create.mutate();
  };
  const failed = streams.error ?? sinks.error ?? buckets.error;
  return (
    <Page title="Create a pipeline" crumbs={[{ label: "Pipelines", to: "/pipelines" }]}>
      <ol className="flex gap-2 text-sm">
        {steps.map((title, i) => (
          <li
            key={title}
            aria-current={i === step ? "step" : undefined}
            className={`rounded-full px-3 py-1 ${i === step ? "bg-accent-wash font-medium text-accent" : "bg-raised text-soft"}`}
          >
            {i + 1}. {title}
          </li>
        ))}
      </ol>
      <Failure error={failed} />
      {streams.data === undefined || sinks.data === undefined || buckets.data === undefined ? (
        failed === null && <Loading />
      ) : (
        <Card>
          <form onSubmit={next} className="flex max-w-2xl flex-col gap-4" noValidate>
            {step === 0 && <StreamStep draft={stream} streams={streams.data} onChange={setStream} />}
            {step === 1 && <SinkStep draft={sink} sinks={sinks.data} buckets={buckets.data} onChange={setSink} />}
            {step === 2 && (
              <>
                <TextField label="Pipeline name" value={name} onChange={setName} autoFocus />
                <CodeField
                  label="SQL"
                  hint="INSERT INTO the sink, SELECT from the stream: choose, rename, compute and filter columns. It cannot change later."
                  value={sql ?? proposal}
                  onChange={setSql}
                />
                <Failure error={create.error} />
              </>
            )}
            <div className="flex justify-between gap-2">
              <Button onClick={() => (step === 0 ? void navigate({ to: "/pipelines" }) : setStep(step - 1))} disabled={create.isPending}>
                {step === 0 ? "Cancel" : "Back"}
              </Button>
              <Button type="submit" look="primary" busy={create.isPending} disabled={!ready}>
                {step === steps.length - 1 ? "Create pipeline" : "Next"}
              </Button>
            </div>
          </form>
        </Card>
      )}
    </Page>
  );
}
