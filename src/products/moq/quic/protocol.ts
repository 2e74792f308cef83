/** What the platform and its QUIC process say to each other, beside the frames of sessions on a socket of each's own. */

export interface QuicSettings {
  readonly host: string;
  /** 0 = a free one. */
  readonly port: number;
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** Path of the unix socket to which each session is connected; its first message is the URL's path and query. */
  readonly socket: string;
  readonly connectionsMax: number;
}

export type FromQuic = { readonly type: "listening"; readonly port: number } | { readonly type: "failed"; readonly message: string };
