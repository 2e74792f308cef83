/**
 * Why a database could not be connected to. The codes are those of the API's test connection (docs: Hyperdrive,
 * Troubleshoot and debug, "Configuration errors"); `runtime` is what a driver is told when it happens to a query.
 */

const reasons = {
  badHost: { code: 2008, runtime: "Server connection attempt failed: bad_hostname" },
  privateAddress: { code: 2009, runtime: "Server connection attempt failed: not_a_public_address" },
  unreachable: { code: 2010, runtime: "Server connection attempt failed: host_unreachable" },
  refused: { code: 2011, runtime: "Server connection attempt failed: connection_refused" },
  noTls: { code: 2012, runtime: "Server connection attempt failed: tls_not_supported" },
  credentials: { code: 2013, runtime: "Server connection attempt failed: invalid_credentials" },
  noDatabase: { code: 2014, runtime: "Server connection attempt failed: no_such_database" },
  other: { code: 2015, runtime: "Server connection attempt failed" },
  testQuery: { code: 2016, runtime: "Server connection attempt failed: test_query_failed" },
} as const;

export type OriginReason = keyof typeof reasons;

export class OriginError extends Error {
  readonly reason: OriginReason;

  /** `message` is the detail that the API shows, without values of the configuration's secrets. */
  constructor(reason: OriginReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "OriginError";
    this.reason = reason;
  }

  get code(): number {
    return reasons[this.reason].code;
  }

  get runtime(): string {
    return reasons[this.reason].runtime;
  }
}
