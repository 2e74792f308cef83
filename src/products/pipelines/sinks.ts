/** The account's sinks: rows in meta, mirrored in memory. Secrets are sealed in the row and never leave this object but to readers. */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { SecretBox } from "../../kernel/secrets.ts";
import { pipelinesError } from "./errors.ts";
import { type SinkSecrets, type SinkSettings, type SinkType, type SinkWire, settingsOf } from "./sink-config.ts";
import { checkName } from "./streams.ts";

export interface Sink {
  readonly id: string;
  readonly name: string;
  readonly wire: SinkWire;
  readonly settings: SinkSettings;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export interface Sinks {
  find(id: string): Sink | undefined;
  byName(name: string): Sink | undefined;
  /** Throws `pipelines.sinkNotFound`. */
  require(id: string): Sink;
  list(): Sink[];
  /** Throws unless another sink of that name may be made. */
  checkNew(name: string): void;
  create(name: string, wire: SinkWire, secrets: SinkSecrets): Promise<Sink>;
  remove(id: string): Promise<void>;
  secrets(id: string): Promise<SinkSecrets>;
}

interface Row {
  id: string;
  name: string;
  type: string;
  format: string;
  config: string;
  secrets: string;
  created_at: number;
  modified_at: number;
}

const purpose = (id: string): string => `pipelines.sink.${id}`;

export async function openSinks(meta: MetaStore, box: SecretBox, clock: Clock, max: number): Promise<Sinks> {
  const byId = new Map<string, Sink>();
  const keep = (row: Row): Sink => {
    const wire: SinkWire = {
      type: row.type as SinkType,
      format: JSON.parse(row.format) as Record<string, unknown>,
      config: JSON.parse(row.config) as Record<string, unknown>,
    };
    const sink: Sink = {
      id: row.id,
      name: row.name,
      wire,
      settings: settingsOf(wire),
      createdAt: row.created_at,
      modifiedAt: row.modified_at,
    };
    byId.set(sink.id, sink);
    return sink;
  };
  for (const row of await meta.all<Row>("SELECT * FROM pipelines_sinks ORDER BY created_at, id")) keep(row);

  const byName = (name: string): Sink | undefined => [...byId.values()].find((sink) => sink.name === name);
  function require(id: string): Sink {
    const found = byId.get(id);
    if (found === undefined) throw pipelinesError("sinkNotFound");
    return found;
  }
  function checkNew(name: string): void {
    checkName(name);
    if (byName(name) !== undefined) throw pipelinesError("nameTaken", `A sink named "${name}" already exists`);
    if (byId.size >= max) throw pipelinesError("tooMany", `The account's limit of ${max} sinks is reached`);
  }

  return {
    find: (id) => byId.get(id),
    byName,
    require,
    list: () => [...byId.values()],
    checkNew,
    async create(name, wire, secrets) {
      checkNew(name);
      const id = randomBytes(16).toString("hex");
      const now = clock.now();
      const row: Row = {
        id,
        name,
        type: wire.type,
        format: JSON.stringify(wire.format),
        config: JSON.stringify(wire.config),
        secrets: box.seal(JSON.stringify(secrets), purpose(id)),
        created_at: now,
        modified_at: now,
      };
      try {
        await meta.run(
          "INSERT INTO pipelines_sinks (id, name, type, format, config, secrets, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          row.id,
          row.name,
          row.type,
          row.format,
          row.config,
          row.secrets,
          row.created_at,
          row.modified_at,
        );
      } catch (cause) {
        if (byName(name) !== undefined) throw pipelinesError("nameTaken", `A sink named "${name}" already exists`, { cause });
        throw cause;
      }
      return keep(row);
    },
    async remove(id) {
      require(id);
      await meta.run("DELETE FROM pipelines_sinks WHERE id = ?", id);
      byId.delete(id);
    },
    async secrets(id) {
      const row = await meta.get<{ secrets: string }>("SELECT secrets FROM pipelines_sinks WHERE id = ?", id);
      if (row === undefined) throw pipelinesError("sinkNotFound");
      return JSON.parse(box.open(row.secrets, purpose(id))) as SinkSecrets;
    },
  };
}
