/**
 * Destinations that copies of logs and traces are exported to, as OTLP over HTTP; Workers name them by slug in their
 * settings. Their headers, which carry keys, are sealed on disk and shown by name alone. They reach public addresses only,
 * unless the operator says otherwise.
 */
import { z } from "zod";
import type { KernelSlice, Route } from "../../kernel/product.ts";
import { publicAgent } from "../../kernel/public-network.ts";
import { observabilityError } from "./errors.ts";
import { type Exporter, openExporter, send, type Target } from "./exporter.ts";
import type { ExportKind } from "./otlp.ts";
import type { Row } from "./telemetry-event.ts";

const BASE = "/accounts/:account/workers/observability/destinations";
const SEALED_FOR = "observability.destinations";

const url = z
  .string()
  .max(2_000)
  .refine((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ""), { message: "must be an HTTP URL" });
const headers = z
  .record(
    z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/),
    z
      .string()
      .max(10_000)
      .regex(/^[^\r\n\0]*$/),
  )
  .default({});
const createSchema = z.looseObject({
  name: z.string().min(1).max(100),
  enabled: z.boolean(),
  skipPreflightCheck: z.boolean().default(false),
  configuration: z.looseObject({
    type: z.literal("logpush"),
    logpushDataset: z.enum(["opentelemetry-traces", "opentelemetry-logs"]),
    url,
    headers,
  }),
});
const updateSchema = z.looseObject({ enabled: z.boolean(), configuration: z.looseObject({ type: z.literal("logpush"), url, headers }) });

interface DestinationRow {
  readonly slug: string;
  readonly name: string;
  readonly enabled: number;
  readonly dataset: "opentelemetry-traces" | "opentelemetry-logs";
  readonly url: string;
  readonly headers: string;
  readonly created_on: number;
  readonly updated_on: number;
}

export interface Destinations {
  readonly routes: readonly Route[];
  /** Copies for those of the slugs that take this kind. */
  export(slugs: readonly string[], kind: ExportKind, rows: readonly Row[]): void;
  stop(): Promise<void>;
}

const kindOf = ({ dataset }: Pick<DestinationRow, "dataset">): ExportKind => (dataset === "opentelemetry-traces" ? "traces" : "logs");

/** `scriptsWith`: names of the Workers whose settings name the slug. */
export async function openDestinations(
  { meta, secrets, clock, config, log }: KernelSlice,
  permissions: { readonly read: readonly string[]; readonly write: readonly string[] },
  scriptsWith: (slug: string) => string[],
): Promise<Destinations> {
  const agent = publicAgent(config["observability.private_destinations"]);
  const open = new Map<string, { readonly row: DestinationRow; readonly exporter: Exporter }>();
  for (const row of await meta.all<DestinationRow & Record<string, never>>("SELECT * FROM observability_destinations LIMIT 10000"))
    start(row);

  function start(row: DestinationRow): void {
    const target: Target = { slug: row.slug, kind: kindOf(row), url: row.url, headers: headersOf(row) };
    open.set(row.slug, { row, exporter: openExporter(target, agent, clock, log) });
  }

  function headersOf(row: DestinationRow): Record<string, string> {
    return JSON.parse(secrets.open(row.headers, SEALED_FOR)) as Record<string, string>;
  }

  function find(slug: string | undefined): { row: DestinationRow; exporter: Exporter } {
    const found = open.get(slug ?? "");
    if (found === undefined) throw observabilityError("destinationNotFound");
    return found;
  }

  const shown = (row: DestinationRow) => ({
    slug: row.slug,
    name: row.name,
    enabled: row.enabled === 1,
    scripts: scriptsWith(row.slug),
    configuration: { type: "logpush", logpushDataset: row.dataset, url: row.url, destination_conf: row.url, logpushJob: 0 },
  });

  async function store(row: DestinationRow): Promise<void> {
    await meta.run(
      `INSERT INTO observability_destinations (slug, name, enabled, dataset, url, headers, created_on, updated_on) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (slug) DO UPDATE SET enabled = excluded.enabled, url = excluded.url, headers = excluded.headers, updated_on = excluded.updated_on`,
      row.slug,
      row.name,
      row.enabled,
      row.dataset,
      row.url,
      row.headers,
      row.created_on,
      row.updated_on,
    );
    const before = open.get(row.slug);
    start(row);
    await before?.exporter.stop();
  }

  return {
    export(slugs, kind, rows) {
      if (rows.length === 0) return;
      for (const slug of slugs) {
        const found = open.get(slug);
        if (found !== undefined && found.row.enabled === 1 && kindOf(found.row) === kind) found.exporter.add(rows);
      }
    },
    async stop() {
      await Promise.all([...open.values()].map(({ exporter }) => exporter.stop()));
      await agent.destroy();
    },
    routes: [
      {
        op: "observability.destinations.create",
        method: "POST",
        path: BASE,
        permission: permissions.write,
        async handle(c) {
          const { name, enabled, skipPreflightCheck, configuration } = await c.json(createSchema);
          const slug = name
            .toLowerCase()
            .replace(/[^a-z0-9]+/g, "-")
            .replace(/^-|-$/g, "");
          if (slug === "" || open.has(slug)) throw observabilityError("destinationExists");
          if (open.size >= config["observability.destinations_max"]) throw observabilityError("destinationLimit");
          const { logpushDataset: dataset, url, headers } = configuration;
          if (!skipPreflightCheck) {
            await send(agent, { kind: kindOf({ dataset }), url, headers }, []).catch((error: Error) => {
              throw observabilityError(
                "destinationRefused",
                `The destination did not accept a test: ${(error.cause as Error)?.message ?? error.message}`,
              );
            });
          }
          const now = clock.now();
          const sealed = secrets.seal(JSON.stringify(headers), SEALED_FOR);
          await store({ slug, name, enabled: Number(enabled), dataset, url, headers: sealed, created_on: now, updated_on: now });
          return shown(find(slug).row);
        },
      },
      {
        op: "observability.destinations.update",
        method: "PATCH",
        path: `${BASE}/:slug`,
        permission: permissions.write,
        async handle(c) {
          const { row } = find(c.params.slug);
          const { enabled, configuration } = await c.json(updateSchema);
          const sealed = secrets.seal(JSON.stringify(configuration.headers), SEALED_FOR);
          await store({ ...row, enabled: Number(enabled), url: configuration.url, headers: sealed, updated_on: clock.now() });
          return shown(find(row.slug).row);
        },
      },
      {
        op: "observability.destinations.list",
        method: "GET",
        path: BASE,
        permission: permissions.read,
        async handle(c) {
          const by = c.query.get("orderBy") === "updated" ? "updated_on" : "created_on";
          const sign = c.query.get("order") === "asc" ? 1 : -1;
          const all = [...open.values()].sort((a, b) => sign * (a.row[by] - b.row[by]));
          return all.map(({ row, exporter }) => {
            const { logpushJob: _, ...configuration } = shown(row).configuration;
            const names = Object.fromEntries(Object.keys(headersOf(row)).map((name) => [name, "REDACTED"]));
            return { ...shown(row), configuration: { ...configuration, headers: names, jobStatus: exporter.status } };
          });
        },
      },
      {
        op: "observability.destinations.delete",
        method: "DELETE",
        path: `${BASE}/:slug`,
        permission: permissions.write,
        async handle(c) {
          const { row, exporter } = find(c.params.slug);
          await meta.run("DELETE FROM observability_destinations WHERE slug = ?", row.slug);
          open.delete(row.slug);
          await exporter.stop();
          return shown(row);
        },
      },
    ],
  };
}
