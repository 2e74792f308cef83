/** Custom hostnames as the REST API shows them; times are ISO strings there. */
import type { FallbackOrigin } from "./hostnames.ts";
import { type Hostname, proofs } from "./model.ts";

const iso = (ms: number): string => new Date(ms).toISOString();

export function hostnameView(hostname: Hostname): Record<string, unknown> {
  const { id, hostname: name, status, ownershipToken, metadata, originServer, originSni, errors, createdOn } = hostname;
  const { ownershipTxt, ownershipUrl } = proofs(hostname);
  return {
    id,
    hostname: name,
    status,
    ...(hostname.certificate !== null && { ssl: certificateView(hostname) }),
    ...(metadata !== null && { custom_metadata: metadata }),
    ...(originServer !== null && { custom_origin_server: originServer }),
    ...(originSni !== null && { custom_origin_sni: originSni }),
    ownership_verification: { type: "txt", name: ownershipTxt, value: ownershipToken },
    ownership_verification_http: { http_url: ownershipUrl, http_body: ownershipToken },
    ...(status === "pending" && { verification_errors: errors }),
    created_at: iso(createdOn),
  };
}

function certificateView(hostname: Hostname): Record<string, unknown> | undefined {
  const { certificate } = hostname;
  if (certificate === null) return undefined;
  const { id, method, settings, wildcard, authority, status, token, branding } = certificate;
  const { certificateTxt, certificateUrl } = proofs(hostname);
  const record = method === "txt" ? { txt_name: certificateTxt, txt_value: token } : { http_url: certificateUrl, http_body: token };
  return {
    id,
    type: "dv",
    method,
    status,
    settings,
    bundle_method: "ubiquitous",
    wildcard,
    ...(authority !== undefined && { certificate_authority: authority }),
    ...(branding && { cloudflare_branding: true }),
    hosts: [hostname.hostname, ...(wildcard ? [`*.${hostname.hostname}`] : [])],
    ...(status !== "active" && { validation_records: [{ status: "pending", ...record }] }),
  };
}

/** A fallback origin is ready as soon as it is set. */
export const fallbackView = ({ origin, createdOn, modifiedOn }: FallbackOrigin): Record<string, unknown> => ({
  origin,
  status: "active",
  errors: [],
  created_at: iso(createdOn),
  updated_at: iso(modifiedOn),
});
