/** Realtime in the REST API. */
export const CALLS = "/calls";

/** An app of the SFU or a key of TURN. */
export interface Item {
  readonly uid: string;
  readonly name: string;
  readonly created: string;
}

export type Kind = "apps" | "turn_keys";

/** What differs between the two. */
export const kinds = {
  apps: { noun: "app", title: "SFU apps", secret: "secret", secretLabel: "Secret" },
  turn_keys: { noun: "TURN key", title: "TURN keys", secret: "key", secretLabel: "API token" },
} as const satisfies Record<Kind, object>;

export const itemsPath = (kind: Kind): string => `${CALLS}/${kind}`;
export const itemPath = (kind: Kind, uid: string): string => `${itemsPath(kind)}/${uid}`;
