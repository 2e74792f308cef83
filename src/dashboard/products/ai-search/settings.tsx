/** What can be changed of an instance, and its end. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { ConfirmDialog } from "../../components/dialog.tsx";
import { CodeField, Switch, TextField } from "../../components/form.tsx";
import { Card, Facts, Failure, Loading } from "../../components/page.tsx";
import { useAction } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { INSTANCES, type Instance, instancePath, sourceOf } from "./api.ts";
import { instanceRoute, useInstance } from "./instance.tsx";

export const settingsRoute = createRoute({ getParentRoute: () => instanceRoute, path: "settings", component: Settings });

function Settings() {
  const instance = useInstance();
  if (instance.data === undefined) return <Loading />;
  const { data } = instance;
  return (
    <>
      <Card title="Fixed at creation">
        <Facts
          items={[
            ["Source", sourceOf(data)],
            ["Embedding model", data.embedding_model],
            ["Generation model", data.ai_search_model],
          ]}
        />
      </Card>
      <Form key={JSON.stringify([data.chunk_size, data.chunk_overlap, data.paused])} instance={data} />
      <Delete instance={data} />
    </>
  );
}

const NUMBERS = [
  ["chunk_size", "Chunk size in tokens"],
  ["chunk_overlap", "Overlap of chunks in percent"],
  ["max_num_results", "Most results"],
  ["score_threshold", "Match threshold"],
] as const;
const SWITCHES = [
  ["paused", "Pause indexing"],
  ["rewrite_query", "Rewrite queries"],
  ["reranking", "Rerank results"],
  ["cache", "Similarity cache"],
] as const;

function Form({ instance }: { instance: Instance }) {
  const [numbers, setNumbers] = useState<Record<string, string>>(() =>
    Object.fromEntries(NUMBERS.map(([name]) => [name, String(instance[name])])),
  );
  const [switches, setSwitches] = useState<Record<string, boolean>>(() =>
    Object.fromEntries(SWITCHES.map(([name]) => [name, instance[name]])),
  );
  const [prompt, setPrompt] = useState(instance.system_prompt_ai_search ?? "");
  const save = useAction(
    async () => {
      const given = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Number(value)]));
      return onAccount(instancePath(instance.id), { method: "PUT", body: { ...given, ...switches, system_prompt_ai_search: prompt } });
    },
    { stale: [INSTANCES], done: "Settings saved" },
  );
  return (
    <Card title="Settings" lead="Another size of chunks has everything indexed again.">
      <form
        className="flex max-w-lg flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        {NUMBERS.map(([name, label]) => (
          <TextField
            key={name}
            label={label}
            inputMode="decimal"
            value={numbers[name] ?? ""}
            onChange={(value) => setNumbers({ ...numbers, [name]: value })}
          />
        ))}
        {SWITCHES.map(([name, label]) => (
          <Switch
            key={name}
            label={label}
            checked={switches[name] ?? false}
            onChange={(value) => setSwitches({ ...switches, [name]: value })}
          />
        ))}
        <CodeField label="System prompt" hint="For answers; empty: the standard one." value={prompt} onChange={setPrompt} rows={4} />
        <Failure error={save.error} />
        <div>
          <Button type="submit" look="primary" busy={save.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Card>
  );
}

function Delete({ instance }: { instance: Instance }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useAction(async () => onAccount(instancePath(instance.id), { method: "DELETE" }), {
    stale: [INSTANCES],
    done: `Instance ${instance.id} deleted`,
    onDone: () => navigate({ to: "/ai-search" }),
  });
  return (
    <Card
      title="Delete instance"
      lead="What is indexed goes with it; the source stays."
      actions={
        <Button look="danger" onClick={() => setAsking(true)}>
          Delete instance
        </Button>
      }
    >
      {asking && (
        <ConfirmDialog
          title="Delete instance"
          word={instance.id}
          submit="Delete instance"
          busy={remove.isPending}
          error={remove.error}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        >
          Workers that search it fail from then on.
        </ConfirmDialog>
      )}
    </Card>
  );
}
