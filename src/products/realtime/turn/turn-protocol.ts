/** What the platform's thread and the one of TURN say to each other. */

export interface TurnLimits {
  readonly newPeersPerS: number;
  readonly packetsPerS: number;
  readonly bitsPerS: number;
  /** Allocations of all clients. */
  readonly allocationsMax: number;
  /** Connections of TCP and TLS. */
  readonly connectionsMax: number;
  /** The address that clients are told for relayed ports; empty: the one that they are bound to. */
  readonly relayAddress: string;
}

export interface TurnSettings {
  readonly host: string;
  readonly realm: string;
  /** 0 = a free one. */
  readonly ports: { readonly udp: readonly number[]; readonly tcp: readonly number[]; readonly tls: readonly number[] };
  readonly tls: { readonly cert: string; readonly key: string };
  readonly relayHost: string;
  /** First and last port of relays; none: any. */
  readonly relayPorts: readonly [number, number] | undefined;
  /** Networks beside the public Internet in which peers may be: "10.0.0.0/8". */
  readonly peersAllowed: readonly string[];
  readonly limits: TurnLimits;
}

/** What a client's credential stands for. */
export interface TurnCredential {
  readonly username: string;
  readonly password: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** Ports as they were bound. */
export interface TurnPorts {
  readonly udp: readonly number[];
  readonly tcp: readonly number[];
  readonly tls: readonly number[];
}

/** What one credential moved since it was last told. */
export interface TurnUsage {
  readonly username: string;
  readonly ingressBytes: number;
  readonly egressBytes: number;
  /** Allocations at the moment. */
  readonly connections: number;
}

export type FromTurn =
  | { readonly type: "listening"; readonly ports: TurnPorts }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "credential"; readonly call: number; readonly username: string }
  | { readonly type: "usage"; readonly usage: readonly TurnUsage[] }
  | { readonly type: "stopped" };

export type ToTurn =
  | { readonly type: "credential"; readonly call: number; readonly credential: TurnCredential | undefined }
  /** Credentials that are good no more. */
  | { readonly type: "revoke"; readonly usernames: readonly string[] }
  | { readonly type: "stop" };
