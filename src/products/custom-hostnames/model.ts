/** What a custom hostname consists of: what its creator asked for, the tokens that prove it, and how far they do. */

export interface TlsSettings {
  readonly http2?: "on" | "off" | undefined;
  readonly min_tls_version?: string | undefined;
  readonly tls_1_3?: "on" | "off" | undefined;
  readonly early_hints?: "on" | "off" | undefined;
  readonly ciphers?: readonly string[] | undefined;
}

/** The certificate that was asked for. It is issued by the platform's own authority, whichever is named. */
export interface Certificate {
  readonly id: string;
  /** How control of the name is shown. */
  readonly method: "http" | "txt" | "email";
  readonly settings: TlsSettings;
  /** Also for the names below the hostname, which are then served, too. */
  readonly wildcard: boolean;
  readonly authority: string | undefined;
  readonly branding: boolean;
  readonly status: "pending_validation" | "active";
  /** What has to be found: the TXT record's value, or the body of the URL. */
  readonly token: string;
}

export interface HostnameContent {
  /** "active": its owner is known to want it here. */
  readonly status: "pending" | "active";
  /** What shows that: the value of a TXT record, or the body of a URL. */
  readonly ownershipToken: string;
  readonly certificate: Certificate | null;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  readonly originServer: string | null;
  readonly originSni: string | null;
  /** Why the last look did not find what it looked for. */
  readonly errors: readonly string[];
  /** Of looks; they become rarer. */
  readonly attempts: number;
}

export interface Hostname extends HostnameContent {
  /** UUID. */
  readonly id: string;
  readonly zoneId: string;
  /** Lower case. */
  readonly hostname: string;
  readonly createdOn: number;
  readonly modifiedOn: number;
}

/** Where its owner puts what the platform looks for. */
export const proofs = ({ id, hostname, certificate }: Hostname) => ({
  ownershipTxt: `_cf-custom-hostname.${hostname}`,
  ownershipUrl: `http://${hostname}/.well-known/cf-custom-hostname-challenge/${id}`,
  certificateTxt: `_acme-challenge.${hostname}`,
  certificateUrl: `http://${hostname}/.well-known/pki-validation/ca3-${certificate?.id.replaceAll("-", "")}.txt`,
});

/** Whether its requests are served: both its owner and the control of the name are proven. */
export const isServed = ({ status, certificate }: Hostname): boolean =>
  status === "active" && (certificate === null || certificate.status === "active");
