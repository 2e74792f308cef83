/** Streams, sinks and pipelines as the REST API gives them (`cloudflare` SDK 7.3.0, resources/pipelines). */
import type { Pipeline, Pipelines } from "./pipelines.ts";
import type { Sink, Sinks } from "./sinks.ts";
import type { CompiledStatement } from "./sql/compile.ts";
import type { Stream, Streams } from "./streams.ts";

/** Nothing of a stream, a sink or a pipeline changes in a way that makes a new version. */
const VERSION = 1;

const time = (ms: number): string => new Date(ms).toISOString();

export function streamWire(stream: Stream, endpoint: string): unknown {
  return {
    id: stream.id,
    name: stream.name,
    version: VERSION,
    created_at: time(stream.createdAt),
    modified_at: time(stream.modifiedAt),
    endpoint,
    format: stream.format,
    http: stream.http,
    worker_binding: { enabled: stream.workerBinding },
    ...(stream.schema !== undefined && { schema: stream.schema }),
  };
}

export function sinkWire(sink: Sink): unknown {
  return {
    id: sink.id,
    name: sink.name,
    type: sink.wire.type,
    created_at: time(sink.createdAt),
    modified_at: time(sink.modifiedAt),
    format: sink.wire.format,
    config: sink.wire.config,
  };
}

export function pipelineWire(pipeline: Pipeline, pipelines: Pipelines): Record<string, unknown> {
  const { status, reason } = pipelines.status(pipeline.id);
  return {
    id: pipeline.id,
    name: pipeline.name,
    sql: pipeline.sql,
    status,
    ...(reason !== undefined && { failure_reason: reason }),
    created_at: time(pipeline.createdAt),
    modified_at: time(pipeline.modifiedAt),
  };
}

/** The streams and sinks of a pipeline, each once. */
export function pipelineTables(pipeline: Pipeline, streams: Streams, sinks: Sinks): unknown[] {
  const table = (type: "stream" | "sink", found: { readonly id: string; readonly name: string } | undefined): unknown[] =>
    found === undefined ? [] : [{ id: found.id, name: found.name, type, version: VERSION, latest: VERSION }];
  const unique = (ids: readonly string[]): string[] => [...new Set(ids)];
  return [
    ...unique(pipeline.inserts.map((insert) => insert.stream)).flatMap((id) => table("stream", streams.find(id))),
    ...unique(pipeline.inserts.map((insert) => insert.sink)).flatMap((id) => table("sink", sinks.find(id))),
  ];
}

/** The answer of `validate_sql`: the tables by name, and the flow as a graph of source, SELECT and sink. */
export function validationWire(statements: readonly CompiledStatement[]): unknown {
  const tables: Record<string, unknown> = {};
  const nodes: unknown[] = [];
  const edges: unknown[] = [];
  const node = (operator: string, description: string): number =>
    nodes.push({ node_id: nodes.length, operator, description, parallelism: 1 }) - 1;
  for (const { stream, sink, columns } of statements) {
    tables[stream.name] = { id: stream.id, name: stream.name, type: "stream", version: VERSION };
    tables[sink.name] = { id: sink.id, name: sink.name, type: "sink", version: VERSION };
    const chain = [node("source", stream.name), node("select", columns.map((column) => column.name).join(", ")), node("sink", sink.name)];
    for (let i = 1; i < chain.length; i++)
      edges.push({ src_id: chain[i - 1], dest_id: chain[i], edge_type: "forward", key_type: "", value_type: "" });
  }
  return { tables, graph: { nodes, edges } };
}
