/** The audit log over REST, in both forms: https://developers.cloudflare.com/api/resources/audit_logs/ and the newer one of accounts. */
import { z } from "zod";
import { platformError } from "../errors.ts";
import type { RequestContext, Route } from "../product.ts";
import type { AuditLog, AuditRow } from "./audit.ts";
import { page } from "./envelope.ts";

interface AuditRoutesOptions {
  readonly audit: AuditLog;
  readonly accountId: string;
  readonly accountName: string;
}

const PERMISSION = ["Account Settings Read"];
const PER_PAGE = 100;
const PER_PAGE_MAX = 1000;

/** A date, or a time with a zone. */
const moment = z.union([z.iso.date(), z.iso.datetime({ offset: true })]).transform((text) => Date.parse(text));

function time(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const parsed = moment.safeParse(text);
  if (!parsed.success) throw platformError("badRequest", `${name} must be a date or a time as RFC 3339 writes it`);
  return parsed.data;
}

function integer(query: URLSearchParams, name: string, fallback: number, max: number): number {
  const value = Number(query.get(name) ?? fallback);
  if (!Number.isInteger(value) || value < 1 || value > max) throw platformError("badRequest", `${name} must be from 1 to ${max}`);
  return value;
}

export function auditRoutes({ audit, accountId, accountName }: AuditRoutesOptions): Route[] {
  const entry = (row: AuditRow) => ({
    id: row.id,
    when: new Date(row.at).toISOString(),
    action: { info: row.info, result: true, type: row.type },
    actor: { id: row.actor_id, email: "", ip: row.actor_ip, type: "user" },
    interface: "API",
    metadata: { ...(row.zone_name !== "" && { zone_name: row.zone_name }), token_id: row.token_id, token_name: row.token_name },
    newValue: "",
    newValueJson: JSON.parse(row.new_value),
    oldValue: "",
    oldValueJson: JSON.parse(row.old_value),
    owner: { id: accountId },
    resource: { id: row.resource_id, type: row.resource_type },
  });

  async function list({ query }: RequestContext): Promise<unknown> {
    const [number, perPage] = [integer(query, "page", 1, 1_000_000), integer(query, "per_page", PER_PAGE, PER_PAGE_MAX)];
    const { rows, total } = await audit.find({
      id: query.get("id") ?? undefined,
      type: query.get("action.type") ?? undefined,
      ip: query.get("actor.ip") ?? undefined,
      zone: query.get("zone.name") ?? undefined,
      since: time(query, "since"),
      before: time(query, "before"),
      descending: query.get("direction") !== "asc",
      offset: (number - 1) * perPage,
      limit: perPage,
    });
    return page(rows.map(entry), {
      page: number,
      per_page: perPage,
      count: rows.length,
      total_count: total,
      total_pages: Math.ceil(total / perPage),
    });
  }

  const accountEntry = (row: AuditRow) => ({
    id: row.id,
    account: { id: accountId, name: accountName },
    action: { description: row.info, result: "success", time: new Date(row.at).toISOString(), type: row.type },
    actor: {
      id: row.actor_id,
      context: "api_token",
      ip_address: row.actor_ip,
      token_id: row.token_id,
      token_name: row.token_name,
      type: "user",
    },
    resource: { id: row.resource_id, product: row.resource_type.split(".")[0], type: row.resource_type, scope: {} },
  });

  async function listForAccount({ query }: RequestContext): Promise<unknown> {
    const limit = integer(query, "limit", PER_PAGE, PER_PAGE_MAX);
    const offset = Number(query.get("cursor") ?? 0);
    if (!Number.isSafeInteger(offset) || offset < 0) throw platformError("badRequest", "cursor is not one of this list");
    const [since, before] = [time(query, "since"), time(query, "before")];
    if (since === undefined || before === undefined) throw platformError("badRequest", "since and before are required");
    const { rows, total } = await audit.find({
      id: query.get("id") ?? undefined,
      type: query.get("action_type") ?? undefined,
      ip: query.get("actor_ip_address") ?? undefined,
      since,
      before,
      descending: query.get("direction") !== "asc",
      offset,
      limit,
    });
    const after = offset + rows.length < total ? { after: String(offset + rows.length) } : {};
    return page(rows.map(accountEntry), { count: rows.length, cursors: after });
  }

  return [
    { op: "auditLogs.list", method: "GET", path: "/accounts/:account/audit_logs", permission: PERMISSION, handle: list },
    {
      op: "accounts.logs.audit.list",
      method: "GET",
      path: "/accounts/:account/logs/audit",
      permission: PERMISSION,
      handle: listForAccount,
    },
  ];
}
