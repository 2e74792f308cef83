/**
 * The account's gateways and their settings: rows in meta, mirrored in memory, because every request asks for its gateway.
 * All changes go through this object, so the mirror is the table.
 */
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { gatewayError } from "./errors.ts";
import { guardrailsSchema } from "./guardrails.ts";

/** Month of 31 days, the longest life of a cached response. */
export const TTL_MAX_S = 31 * 24 * 3600;
/** The gateway that the first authenticated request to it makes. */
export const DEFAULT_GATEWAY = "default";

const backoff = z.enum(["constant", "linear", "exponential"]);

const COLLECTORS_MAX = 5;
/** Where spans of requests go (docs/ai-gateway/observability/otel-integration). */
const collector = z.object({
  url: z.string().refine((url) => URL.canParse(url) && /^https?:/.test(url), "must be a URL"),
  headers: z.record(z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/), z.string()).default({}),
  authorization: z.literal("", { error: "secrets of a store are not used by this version of Freehold: give the header itself" }).optional(),
  content_type: z.literal("json", { error: "only JSON is sent" }).optional(),
});

/** What a user sets (`cloudflare` SDK 7.3.0). Members that only other services would act on are refused by name in `refuse`. */
export const settingsSchema = z.object({
  cache_invalidate_on_update: z.boolean(),
  cache_ttl: z.number().int().min(0).max(TTL_MAX_S).nullable(),
  collect_logs: z.boolean(),
  rate_limiting_interval: z.number().int().min(0).nullable(),
  rate_limiting_limit: z.number().int().min(0).nullable(),
  rate_limiting_technique: z.enum(["fixed", "sliding"]).nullish(),
  authentication: z.boolean().default(false),
  log_management: z.number().int().min(10).max(10_000_000).nullish(),
  log_management_strategy: z.enum(["STOP_INSERTING", "DELETE_OLDEST"]).nullish(),
  retry_max_attempts: z.number().int().min(1).max(5).nullish(),
  retry_delay: z.number().int().min(0).max(5000).nullish(),
  retry_backoff: backoff.nullish(),
  guardrails: guardrailsSchema.nullish(),
  otel: z.array(collector).max(COLLECTORS_MAX).nullish(),
});

export type Settings = z.infer<typeof settingsSchema>;

export interface Gateway {
  readonly id: string;
  readonly settings: Settings;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
/** Settings of parts that are not here yet: accepting them silently would promise what does not happen. */
const ABSENT = ["dlp", "logpush", "stripe", "spend_limits", "byok_only", "zdr"] as const;

function refuseAbsent(given: Readonly<Record<string, unknown>>): void {
  const asked = ABSENT.find((name) => {
    const value = given[name];
    const off = value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0);
    return !off && (value as { enabled?: unknown }).enabled !== false;
  });
  if (asked !== undefined)
    throw gatewayError("notImplemented", `The gateway setting "${asked}" is not implemented by this version of Freehold`);
}

/** What a client sent, checked: throws `aiGateway.invalidConfig`. */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw gatewayError("invalidConfig", `${issue?.path.join(".")}: ${issue?.message}`);
}

export interface Gateways {
  list(): Gateway[];
  find(id: string): Gateway | undefined;
  /** Throws `aiGateway.gatewayNotFound`. */
  require(id: string): Gateway;
  create(body: unknown): Promise<Gateway>;
  /** Replaces all settings. */
  update(id: string, body: unknown): Promise<Gateway>;
  remove(id: string): Promise<Gateway>;
  /** The gateway `default`, which is made when it is not there. */
  ensureDefault(): Promise<Gateway>;
}

/** `removed` hears of a gateway in the transaction that removes it, by its statements. */
export async function openGateways(meta: MetaStore, clock: Clock, max: number, emptied: readonly string[]): Promise<Gateways> {
  const byId = new Map<string, Gateway>();
  interface Row {
    id: string;
    settings: string;
    created_at: number;
    modified_at: number;
  }
  for (const row of await meta.all<Row & Record<string, never>>("SELECT * FROM ai_gateway_gateways ORDER BY created_at, id"))
    byId.set(row.id, { id: row.id, settings: JSON.parse(row.settings), createdAt: row.created_at, modifiedAt: row.modified_at });

  function require(id: string): Gateway {
    const found = byId.get(id);
    if (found === undefined) throw gatewayError("gatewayNotFound");
    return found;
  }

  async function insert(id: string, settings: Settings): Promise<Gateway> {
    if (byId.has(id)) throw gatewayError("gatewayExists");
    if (byId.size >= max) throw gatewayError("tooMany", `The account's limit of ${max} gateways is reached`);
    const now = clock.now();
    const { changes } = await meta.run(
      "INSERT INTO ai_gateway_gateways (id, settings, created_at, modified_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
      ...[id, JSON.stringify(settings), now, now],
    );
    // Two requests may have passed the check together.
    if (changes === 0) throw gatewayError("gatewayExists");
    const gateway: Gateway = { id, settings, createdAt: now, modifiedAt: now };
    byId.set(id, gateway);
    return gateway;
  }

  return {
    list: () => [...byId.values()],
    find: (id) => byId.get(id),
    require,
    async create(body) {
      const { id } = checked(z.object({ id: z.string().regex(NAME) }), body);
      refuseAbsent(body as Record<string, unknown>);
      return insert(id, checked(settingsSchema, body));
    },
    async update(id, body) {
      const old = require(id);
      const settings = checked(settingsSchema, body);
      refuseAbsent(body as Record<string, unknown>);
      const gateway: Gateway = { ...old, settings, modifiedAt: clock.now() };
      await meta.run(
        "UPDATE ai_gateway_gateways SET settings = ?, modified_at = ? WHERE id = ?",
        ...[JSON.stringify(settings), gateway.modifiedAt, id],
      );
      byId.set(id, gateway);
      return gateway;
    },
    async remove(id) {
      const gateway = require(id);
      // Refused to requests first.
      byId.delete(id);
      try {
        await meta.transaction(async (tx) => {
          await tx.run("DELETE FROM ai_gateway_gateways WHERE id = ?", id);
          for (const table of emptied) await tx.run(`DELETE FROM ${table} WHERE gateway = ?`, id);
        });
      } catch (error) {
        byId.set(id, gateway);
        throw error;
      }
      return gateway;
    },
    async ensureDefault() {
      const settings = settingsSchema.parse({
        cache_invalidate_on_update: false,
        cache_ttl: 0,
        collect_logs: true,
        rate_limiting_interval: 0,
        rate_limiting_limit: 0,
        authentication: true,
      });
      return byId.get(DEFAULT_GATEWAY) ?? insert(DEFAULT_GATEWAY, settings).catch(() => require(DEFAULT_GATEWAY));
    },
  };
}

export const gatewayView = ({ id, settings, createdAt, modifiedAt }: Gateway): Record<string, unknown> => ({
  id,
  is_default: id === DEFAULT_GATEWAY,
  ...settings,
  created_at: new Date(createdAt).toISOString(),
  modified_at: new Date(modifiedAt).toISOString(),
});
