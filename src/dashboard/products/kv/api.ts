/** KV in the REST API. */
export const NAMESPACES = "/storage/kv/namespaces";

export interface Namespace {
  readonly id: string;
  readonly title: string;
}

export interface Key {
  readonly name: string;
  /** Seconds since the epoch. */
  readonly expiration?: number;
  readonly metadata?: unknown;
}

export const namespacePath = (id: string): string => `${NAMESPACES}/${id}`;
export const valuePath = (id: string, key: string): string => `${namespacePath(id)}/values/${encodeURIComponent(key)}`;
