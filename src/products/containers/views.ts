/** Applications and instances as the REST API shows them; wrangler reads these members. */
import { type Application, maxInstances } from "./applications.ts";
import type { Instance } from "./instances.ts";

const iso = (ms: number): string => new Date(ms).toISOString();

export function applicationView(application: Application, accountId: string, live: readonly Instance[], rolloutId?: string) {
  const { id, name, version, configuration, settings, namespaceId, createdAt, updatedAt } = application;
  return {
    id,
    account_id: accountId,
    name,
    version,
    created_at: iso(createdAt),
    updated_at: iso(updatedAt),
    scheduling_policy: "default",
    ...settings,
    instances: live.length,
    max_instances: maxInstances(application),
    configuration,
    durable_objects: { namespace_id: namespaceId },
    ...(rolloutId !== undefined && { active_rollout_id: rolloutId }),
    health: { instances: healthOf(live) },
  };
}

export function dashApplicationView(application: Application, live: readonly Instance[]) {
  const { id, name, version, configuration, createdAt, updatedAt } = application;
  return {
    id,
    name,
    version,
    image: configuration.image,
    instances: live.length,
    created_at: iso(createdAt),
    updated_at: iso(updatedAt),
    health: { instances: healthOf(live) },
  };
}

function healthOf(live: readonly Instance[]) {
  const active = live.filter(({ address }) => address !== "").length;
  return { active, healthy: active, failed: 0, starting: live.length - active, scheduling: 0 };
}

export function instanceView({ id, version, startedAt, address, stopping, object }: Instance) {
  const status = stopping ? "stopping" : address === "" ? "placed" : "running";
  return {
    id,
    app_version: version,
    created_at: iso(startedAt),
    location: "loc01",
    durable_object_id: object.objectId,
    current_placement: { status: { health: status, container_status: status } },
  };
}

export const durableObjectView = ({ id, startedAt, object }: Instance) => ({
  id: object.objectId,
  deployment_id: id,
  assigned_at: iso(startedAt),
});
