/** REST v1 of Pipelines: streams, sinks, pipelines, validate_sql. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Objects, Tables } from "../../kernel/capabilities.ts";
import type { KernelSlice, Page, RequestContext, Route } from "../../kernel/product.ts";
import { checkDestination, type Pipelines } from "./pipelines.ts";
import { newSink, parseNewSink, settingsOf } from "./sink-config.ts";
import type { Sinks } from "./sinks.ts";
import { newStream, type Stream, type Streams, streamChange } from "./streams.ts";
import type { Tails } from "./tails.ts";
import { pipelineTables, pipelineWire, sinkWire, streamWire, validationWire } from "./wire.ts";

const READ = ["Workers Pipelines Read"];
const WRITE = ["Workers Pipelines Write"];
const V1 = "/accounts/:account/pipelines/v1";

const newPipeline = z.looseObject({ name: z.string(), sql: z.string() });
const validation = z.looseObject({ sql: z.string() });

export interface PipelinesApi {
  readonly kernel: KernelSlice;
  readonly streams: Streams;
  readonly sinks: Sinks;
  readonly pipelines: Pipelines;
  readonly tails: Tails;
  readonly objects: Objects;
  readonly tables: Tables;
}

export function pipelinesRoutes(api: PipelinesApi): Route[] {
  return [...streamRoutes(api), ...sinkRoutes(api), ...pipelineRoutes(api)];
}

function streamRoutes({ kernel, streams, pipelines, tails }: PipelinesApi): Route[] {
  const wire = (stream: Stream): unknown => streamWire(stream, kernel.urls.host(`${stream.id}.ingest`));
  return [
    {
      op: "pipelines.streams.create",
      method: "POST",
      path: `${V1}/streams`,
      permission: WRITE,
      handle: async (context) => wire(await streams.create(await context.json(newStream))),
    },
    {
      op: "pipelines.streams.list",
      method: "GET",
      path: `${V1}/streams`,
      permission: READ,
      async handle({ query }) {
        const used = usedBy(pipelines, query, (insert) => insert.stream);
        return listed(
          streams.list().filter((stream) => used?.has(stream.id) ?? true),
          query,
          wire,
        );
      },
    },
    {
      op: "pipelines.streams.get",
      method: "GET",
      path: `${V1}/streams/:id`,
      permission: READ,
      handle: async ({ params }) => wire(streams.require(params.id as string)),
    },
    {
      op: "pipelines.streams.update",
      method: "PATCH",
      path: `${V1}/streams/:id`,
      permission: WRITE,
      handle: async (context) => wire(await streams.change(context.params.id as string, await context.json(streamChange))),
    },
    {
      op: "pipelines.streams.delete",
      method: "DELETE",
      path: `${V1}/streams/:id`,
      permission: WRITE,
      async handle({ params }) {
        await pipelines.removeStream(params.id as string);
        tails.end(params.id as string);
      },
    },
    {
      // Our own: the real service has no tail of streams.
      op: "pipelines.streams.tail",
      method: "GET",
      path: `${V1}/streams/:id/tail`,
      permission: READ,
      handle: async ({ params: { id = "" } }) => tails.open(streams.byName(id) ?? streams.require(id)),
    },
  ];
}

function sinkRoutes({ kernel, sinks, pipelines, objects, tables }: PipelinesApi): Route[] {
  async function create(context: RequestContext): Promise<unknown> {
    const given = await context.json(newSink);
    const { wire, secrets } = parseNewSink(given, kernel.accountId, kernel.config["pipelines.roll_min_s"]);
    const sink = await pipelines.createSink(async () => {
      sinks.checkNew(given.name);
      await checkDestination(kernel, objects, tables, { settings: settingsOf(wire), secrets });
      return sinks.create(given.name, wire, secrets);
    });
    return sinkWire(sink);
  }
  return [
    { op: "pipelines.sinks.create", method: "POST", path: `${V1}/sinks`, permission: WRITE, handle: create },
    {
      op: "pipelines.sinks.list",
      method: "GET",
      path: `${V1}/sinks`,
      permission: READ,
      async handle({ query }) {
        const used = usedBy(pipelines, query, (insert) => insert.sink);
        return listed(
          sinks.list().filter((sink) => used?.has(sink.id) ?? true),
          query,
          sinkWire,
        );
      },
    },
    {
      op: "pipelines.sinks.get",
      method: "GET",
      path: `${V1}/sinks/:id`,
      permission: READ,
      handle: async ({ params }) => sinkWire(sinks.require(params.id as string)),
    },
    {
      op: "pipelines.sinks.delete",
      method: "DELETE",
      path: `${V1}/sinks/:id`,
      permission: WRITE,
      handle: async ({ params }) => pipelines.removeSink(params.id as string),
    },
  ];
}

function pipelineRoutes({ streams, sinks, pipelines }: PipelinesApi): Route[] {
  return [
    {
      op: "pipelines.validate_sql",
      method: "POST",
      path: `${V1}/validate_sql`,
      permission: READ,
      handle: async (context) => validationWire(await pipelines.validate((await context.json(validation)).sql)),
    },
    {
      op: "pipelines.pipelines.create",
      method: "POST",
      path: `${V1}/pipelines`,
      permission: WRITE,
      async handle(context) {
        const { name, sql } = await context.json(newPipeline);
        return pipelineWire(await pipelines.create(name, sql), pipelines);
      },
    },
    {
      op: "pipelines.pipelines.list",
      method: "GET",
      path: `${V1}/pipelines`,
      permission: READ,
      handle: async ({ query }) => listed(pipelines.list(), query, (pipeline) => pipelineWire(pipeline, pipelines)),
    },
    {
      op: "pipelines.pipelines.get",
      method: "GET",
      path: `${V1}/pipelines/:id`,
      permission: READ,
      async handle({ params }) {
        const pipeline = pipelines.require(params.id as string);
        return { ...pipelineWire(pipeline, pipelines), tables: pipelineTables(pipeline, streams, sinks) };
      },
    },
    {
      op: "pipelines.pipelines.delete",
      method: "DELETE",
      path: `${V1}/pipelines/:id`,
      permission: WRITE,
      handle: async ({ params }) => pipelines.remove(params.id as string),
    },
  ];
}

/** `name` filters by substring, whatever its case (the SDK's documentation). */
function listed<T extends { readonly name: string }>(
  items: readonly T[],
  query: URLSearchParams,
  wire: (item: T) => unknown,
): Page<unknown> {
  const name = query.get("name")?.toLowerCase();
  return numberedPage(items.filter((item) => name === undefined || item.name.toLowerCase().includes(name)).map(wire), query);
}

/** Ids of the streams or sinks of the pipeline that the query names; undefined when it names none. */
function usedBy(
  pipelines: Pipelines,
  query: URLSearchParams,
  of: (insert: { stream: string; sink: string }) => string,
): Set<string> | undefined {
  const id = query.get("pipeline_id");
  return id === null ? undefined : new Set(pipelines.find(id)?.inserts.map(of) ?? []);
}
