/**
 * Container applications: an image with its resources for the objects of one Durable Object namespace. A change of the
 * configuration is a new version of the application; instances keep the version that they were started with.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { containersError } from "./errors.ts";
import { type Resources, resourcesOf } from "./instance-types.ts";

const logs = z.looseObject({ logs: z.looseObject({ enabled: z.boolean().optional() }).optional() });

export const configurationSchema = z.looseObject({
  image: z.string().min(1).max(4096),
  instance_type: z.string().optional(),
  vcpu: z.number().positive().optional(),
  memory_mib: z.number().int().positive().optional(),
  disk: z.looseObject({ size_mb: z.number().positive().optional() }).optional(),
  observability: logs.optional(),
  wrangler_ssh: z.looseObject({ enabled: z.boolean(), port: z.number().int().optional() }).optional(),
  authorized_keys: z
    .array(z.looseObject({ name: z.string(), public_key: z.string() }))
    .max(100)
    .optional(),
});

const settingsSchema = {
  scheduling_policy: z.string().optional(),
  max_instances: z.number().int().min(0).max(100_000).optional(),
  constraints: z.looseObject({}).optional(),
  affinities: z.looseObject({}).optional(),
  observability: logs.optional(),
  rollout_active_grace_period: z.number().int().min(0).max(86_400).optional(),
};

export const newApplicationSchema = z.looseObject({
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,100}$/),
  configuration: configurationSchema,
  instances: z.number().int().optional(),
  durable_objects: z.looseObject({ namespace_id: z.string() }),
  ...settingsSchema,
});

export const applicationChangeSchema = z.looseObject({ configuration: configurationSchema.optional(), ...settingsSchema });

export type Configuration = z.infer<typeof configurationSchema>;
export type Settings = Pick<z.infer<typeof newApplicationSchema>, keyof typeof settingsSchema>;

export interface Application {
  readonly id: string;
  readonly name: string;
  readonly namespaceId: string;
  readonly version: number;
  readonly configuration: Configuration;
  readonly resources: Resources;
  readonly settings: Settings;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface Applications {
  /** By name. */
  list(): readonly Application[];
  find(id: string): Application | undefined;
  /** Throws `containers.applicationNotFound`. */
  get(id: string): Application;
  ofNamespace(namespaceId: string): Application | undefined;
  create(given: z.infer<typeof newApplicationSchema>): Promise<Application>;
  change(id: string, change: z.infer<typeof applicationChangeSchema>): Promise<Application>;
  remove(id: string): Promise<void>;
}

const DEFAULT_MAX_INSTANCES = 20;
const APPLICATIONS_MAX = 10_000;

interface Row {
  readonly [column: string]: string | number;
  readonly id: string;
  readonly name: string;
  readonly namespace_id: string;
  readonly version: number;
  readonly configuration: string;
  readonly settings: string;
  readonly created_at: number;
  readonly updated_at: number;
}

export async function openApplications(meta: MetaStore, clock: Clock): Promise<Applications> {
  const rows = await meta.all<Row>(`SELECT * FROM containers_applications LIMIT ${APPLICATIONS_MAX}`);
  const known = new Map(rows.map((row) => [row.id, fromRow(row)]));
  const find = (id: string): Application | undefined => known.get(id);

  function get(id: string): Application {
    const found = find(id);
    if (found === undefined) throw containersError("applicationNotFound");
    return found;
  }

  return {
    list: () => [...known.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    find,
    get,
    ofNamespace: (namespaceId) => [...known.values()].find((application) => application.namespaceId === namespaceId),
    async create({ name, configuration, durable_objects, ...rest }) {
      const { version, settings, ...fixed } = { version: 1, settings: settingsOf(rest), ...withResources(configuration) };
      if ([...known.values()].some((application) => application.name === name)) throw containersError("nameTaken");
      const now = clock.now();
      const { namespace_id: namespaceId } = durable_objects;
      const application = { id: randomUUID(), name, namespaceId, version, settings, ...fixed, createdAt: now, updatedAt: now };
      const { changes } = await meta.run(
        `INSERT INTO containers_applications (id, name, namespace_id, version, configuration, settings, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        application.id,
        name,
        namespaceId,
        version,
        JSON.stringify(application.configuration),
        JSON.stringify(settings),
        now,
        now,
      );
      if (changes === 0) throw containersError("nameTaken", "Another application has this name or this namespace of Durable Objects");
      known.set(application.id, application);
      return application;
    },
    async change(id, { configuration, ...rest }) {
      const before = get(id);
      const configured = configuration === undefined ? undefined : withResources(configuration);
      const isNew = configured !== undefined && JSON.stringify(configured.configuration) !== JSON.stringify(before.configuration);
      const after: Application = {
        ...before,
        ...configured,
        version: before.version + Number(isNew),
        settings: { ...before.settings, ...settingsOf(rest) },
        updatedAt: clock.now(),
      };
      await meta.run(
        "UPDATE containers_applications SET version = ?, configuration = ?, settings = ?, updated_at = ? WHERE id = ?",
        after.version,
        JSON.stringify(after.configuration),
        JSON.stringify(after.settings),
        after.updatedAt,
        id,
      );
      known.set(id, after);
      return after;
    },
    async remove(id) {
      get(id);
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM containers_rollouts WHERE application_id = ?", id);
        await tx.run("DELETE FROM containers_applications WHERE id = ?", id);
      });
      known.delete(id);
    },
  };
}

export const maxInstances = ({ settings }: Application): number => settings.max_instances ?? DEFAULT_MAX_INSTANCES;

export const logsEnabled = ({ settings, configuration }: Application): boolean =>
  (settings.observability?.logs?.enabled ?? configuration.observability?.logs?.enabled) === true;

/** The configuration as it is kept: with figures in place of the name of a type. */
function withResources({ instance_type, ...configuration }: Configuration): Pick<Application, "configuration" | "resources"> {
  const resources = resourcesOf({ instance_type, ...configuration });
  const { vcpu, memoryMib, diskMb } = resources;
  return { resources, configuration: { ...configuration, vcpu, memory_mib: memoryMib, disk: { size_mb: diskMb } } };
}

const settingsOf = (given: Settings): Settings =>
  Object.fromEntries(
    Object.keys(settingsSchema).flatMap((key) => (given[key as keyof Settings] === undefined ? [] : [[key, given[key as keyof Settings]]])),
  );

function fromRow(row: Row): Application {
  const configuration = JSON.parse(row.configuration) as Configuration;
  return {
    id: row.id,
    name: row.name,
    namespaceId: row.namespace_id,
    version: row.version,
    configuration,
    resources: resourcesOf(configuration),
    settings: JSON.parse(row.settings) as Settings,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
