/** Domains: zones with their records and origins, host names of other people on them, certificates. Interfaces only. */

/** Certificates that the account has uploaded for connections to servers of others, in PEM. */
export interface Certificates {
  /** The certificate of an authority, or undefined. */
  authority(id: string): Promise<string | undefined>;
  /** A client certificate with its key, or undefined. */
  client(id: string): Promise<{ readonly certificates: string; readonly privateKey: string } | undefined>;
}

/** A domain of the account. */
export interface Zone {
  /** 32 hex digits. */
  readonly id: string;
  /** Lower case. */
  readonly name: string;
  readonly createdOn: number;
}

/** Where the requests for a host name go when no Worker answers them. */
export interface Origin {
  /** An IP address or a host name. */
  readonly address: string;
}

/** The account's domains. Every answer comes from memory. */
export interface Zones {
  all(): Zone[];
  byId(id: string): Zone | undefined;
  byName(name: string): Zone | undefined;
  /** The zone that a host name lies in: the longest name that it is or ends in. */
  ofHost(host: string): Zone | undefined;
  /** The origin of a host name, by the DNS records of its zone. */
  origin(host: string): Origin | undefined;
  /** All DNS records of a zone. */
  records(zoneId: string): readonly ZoneRecord[];
  /**
   * Makes these the zone's records that the manager keeps, adding and removing what it takes; while they are locked, nobody
   * changes them by hand. Rejects when there is no such zone.
   */
  manage(zoneId: string, manager: string, records: readonly ManagedRecord[], locked: boolean): Promise<void>;
}

export interface ZoneRecord {
  readonly type: "A" | "AAAA" | "CNAME" | "MX" | "TXT";
  /** The whole name, lower case. */
  readonly name: string;
  readonly content: string;
  /** Of MX records; the lowest is preferred. */
  readonly priority: number | null;
  /** The product that keeps it. */
  readonly manager: string | null;
}

/** A record for mail that a product keeps in a zone. */
export type ManagedRecord = Pick<ZoneRecord, "name" | "content" | "priority"> & { readonly type: "MX" | "TXT" };

/** Names outside the account's zones that a zone serves. Every answer comes from memory. */
export interface CustomHostnames {
  /** The custom hostname that a host name is, when its owner and the control of it are proven. */
  ofHost(host: string): CustomHostname | undefined;
}

export interface CustomHostname {
  /** The zone that serves it. */
  readonly zoneId: string;
  /** What `request.cf.hostMetadata` has. */
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** The host name of its origin: its own, or its zone's fallback origin. */
  readonly origin: string | undefined;
}
