/** Questions to an instance: what is found, and what a model says to it. */
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Card, Empty, Failure } from "../../components/page.tsx";
import { useAction } from "../../platform/queries.ts";
import { onAccount } from "../../platform/rest.ts";
import { type Chunk, instancePath } from "./api.ts";
import { instanceRoute, useId } from "./instance.tsx";

export const playgroundRoute = createRoute({ getParentRoute: () => instanceRoute, path: "playground", component: Playground });

interface LegacyPage {
  readonly response?: string;
  readonly search_query: string;
  readonly data: readonly {
    readonly filename: string;
    readonly score: number;
    readonly content: readonly { readonly id: string; readonly text: string }[];
  }[];
}

function Playground() {
  const id = useId();
  const [mode, setMode] = useState("search");
  const [query, setQuery] = useState("");
  const ask = useAction(async () => {
    if (mode === "search") {
      const body = { query, ai_search_options: { retrieval: { return_on_failure: false } } };
      const { result } = await onAccount<{ chunks: Chunk[] }>(`${instancePath(id)}/search`, { method: "POST", body });
      return { chunks: result.chunks };
    }
    const { result } = await onAccount<LegacyPage>(`/autorag/rags/${id}/ai-search`, { method: "POST", body: { query } });
    const chunks = result.data.flatMap(({ filename, score, content }) =>
      content.map((one): Chunk => ({ ...one, score, item: { key: filename } })),
    );
    return { response: result.response, chunks };
  });
  return (
    <>
      <form
        className="flex flex-wrap items-end gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          ask.mutate();
        }}
      >
        <div className="grow">
          <TextField label="Query" value={query} onChange={setQuery} />
        </div>
        <SelectField
          label="Mode"
          value={mode}
          onChange={setMode}
          options={[
            ["search", "Search"],
            ["answer", "Search with AI"],
          ]}
        />
        <Button type="submit" look="primary" busy={ask.isPending} disabled={query.trim() === ""}>
          Ask
        </Button>
      </form>
      <Failure error={ask.error} />
      {ask.data?.response !== undefined && (
        <Card title="Answer">
          <output className="whitespace-pre-wrap">{ask.data.response || "Nothing was found to answer from."}</output>
        </Card>
      )}
      {ask.data?.chunks.length === 0 && (
        <Empty title="Nothing was found">Other words, or a lower threshold in the settings, may help.</Empty>
      )}
      {ask.data?.chunks.map((chunk) => (
        <Card key={chunk.id} title={chunk.item.key} lead={`score ${chunk.score.toFixed(3)}`}>
          <p className="whitespace-pre-wrap break-words">{chunk.text}</p>
        </Card>
      ))}
    </>
  );
}
