/**
 * Client certificates for mTLS (docs: Workers, mTLS): `wrangler mtls-certificate …`, and the binding whose `fetch()`
 * presents one. Also CA certificates, which `wrangler cert` keeps in the same place. Private keys are stored sealed.
 */
import { createPrivateKey, randomUUID, X509Certificate } from "node:crypto";
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Certificates } from "../../kernel/capabilities.ts";
import type { BindingCompiler, KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import { network } from "./process.ts";
import type { ScriptStore } from "./store.ts";

interface CertificateRow {
  readonly id: string;
  readonly name: string | null;
  readonly ca: number;
  readonly certificates: string;
  /** Null for a CA. */
  readonly private_key: string | null;
  readonly uploaded_on: number;
}

export interface ClientCertificates {
  readonly routes: readonly Route[];
  readonly binding: BindingCompiler;
  /** For connections that others make. */
  readonly certificates: Certificates;
}

const PATH = "/accounts/:account/mtls_certificates";
const READ = ["Account: SSL and Certificates Read", "Account: SSL and Certificates Write"] as const;
const WRITE = ["Account: SSL and Certificates Write"] as const;
const KEY_PURPOSE = "workers.mtls_key";
const CERTIFICATES_MAX = 1000;

const uploadSchema = z.object({
  name: z.string().max(255).nullish(),
  certificates: z.string().max(1024 * 1024),
  private_key: z
    .string()
    .max(64 * 1024)
    .nullish(),
  ca: z.boolean().default(false),
});

const firstOf = (certificates: string): X509Certificate => new X509Certificate(certificates);

/** Throws `workers.invalidCertificate` with what is wrong. */
function check(certificates: string, privateKey: string | undefined, ca: boolean): void {
  let first: X509Certificate;
  try {
    first = firstOf(certificates);
  } catch (cause) {
    throw workersError("invalidCertificate", "The certificate is not valid PEM.", { cause });
  }
  if (ca) {
    if (!first.ca) throw workersError("invalidCertificate", "The certificate is not one of a certificate authority.");
    return;
  }
  if (privateKey === undefined) throw workersError("invalidCertificate", "A client certificate needs its private key.");
  let fits: boolean;
  try {
    fits = first.checkPrivateKey(createPrivateKey(privateKey));
  } catch (cause) {
    throw workersError("invalidCertificate", "The private key is not valid PEM.", { cause });
  }
  if (!fits) throw workersError("invalidCertificate", "The private key does not belong to the certificate.");
}

export function clientCertificates(kernel: KernelSlice, store: ScriptStore): ClientCertificates {
  const { meta, clock, secrets } = kernel;

  const find = (id: string): Promise<CertificateRow | undefined> =>
    meta.get<CertificateRow & Record<string, never>>("SELECT * FROM workers_certificates WHERE id = ?", id);

  async function require(id: string): Promise<CertificateRow> {
    const row = await find(id);
    if (row === undefined) throw workersError("certificateNotFound");
    return row;
  }

  function view(row: CertificateRow) {
    const first = firstOf(row.certificates);
    return {
      id: row.id,
      name: row.name ?? undefined,
      ca: row.ca === 1,
      certificates: row.certificates,
      issuer: first.issuer,
      serial_number: first.serialNumber,
      signature: first.fingerprint256,
      uploaded_on: new Date(row.uploaded_on).toISOString(),
      expires_on: new Date(first.validTo).toISOString(),
    };
  }

  const usersOf = (id: string): string[] =>
    store
      .all()
      .flatMap(({ script, versions }) =>
        versions.some((version) => version.bindings.some((b) => b.type === "mtls_certificate" && b.certificate_id === id))
          ? [script.name]
          : [],
      );

  async function upload(c: RequestContext): Promise<unknown> {
    const { name, certificates, private_key: privateKey, ca } = await c.json(uploadSchema);
    check(certificates, privateKey ?? undefined, ca);
    const { n } = (await meta.get<{ n: number }>("SELECT count(*) AS n FROM workers_certificates")) as { n: number };
    if (n >= CERTIFICATES_MAX) throw workersError("tooManyCertificates");
    const same = await meta.get("SELECT 1 FROM workers_certificates WHERE certificates = ? AND ca = ?", certificates, Number(ca));
    if (same !== undefined) throw workersError("certificateExists");
    const row: CertificateRow = {
      id: randomUUID(),
      name: name ?? null,
      ca: Number(ca),
      certificates,
      private_key: privateKey == null || ca ? null : secrets.seal(privateKey, KEY_PURPOSE),
      uploaded_on: clock.now(),
    };
    await meta.run(
      "INSERT INTO workers_certificates (id, name, ca, certificates, private_key, uploaded_on) VALUES (?, ?, ?, ?, ?, ?)",
      row.id,
      row.name,
      row.ca,
      row.certificates,
      row.private_key,
      row.uploaded_on,
    );
    return view(row);
  }

  const routes: Route[] = [
    { op: "workers.certificates.create", method: "POST", path: PATH, permission: WRITE, handle: upload },
    {
      op: "workers.certificates.list",
      method: "GET",
      path: PATH,
      permission: READ,
      async handle(c) {
        const rows = await meta.all<CertificateRow & Record<string, never>>(
          "SELECT * FROM workers_certificates ORDER BY uploaded_on, id LIMIT 1000",
        );
        const [name, ca] = [c.query.get("name"), c.query.get("ca")];
        const wanted = rows.filter((row) => (name === null || row.name === name) && (ca === null || row.ca === Number(ca === "true")));
        return numberedPage(wanted.map(view), c.query, 50, 50);
      },
    },
    {
      op: "workers.certificates.get",
      method: "GET",
      path: `${PATH}/:id`,
      permission: READ,
      handle: async (c) => view(await require(c.params.id as string)),
    },
    {
      op: "workers.certificates.associations",
      method: "GET",
      path: `${PATH}/:id/associations`,
      permission: READ,
      async handle(c) {
        const { id } = await require(c.params.id as string);
        return usersOf(id).map((service) => ({ service: "workers", script: service, status: "active" }));
      },
    },
    {
      op: "workers.certificates.delete",
      method: "DELETE",
      path: `${PATH}/:id`,
      permission: WRITE,
      async handle(c) {
        const row = await require(c.params.id as string);
        const users = usersOf(row.id);
        if (users.length > 0) throw workersError("certificateInUse", `The certificate is in use by the Worker "${users[0]}".`);
        await meta.run("DELETE FROM workers_certificates WHERE id = ?", row.id);
        return view(row);
      },
    },
  ];

  return {
    routes,
    certificates: {
      async authority(id) {
        const row = await find(id);
        return row?.ca === 1 ? row.certificates : undefined;
      },
      async client(id) {
        const row = await find(id);
        if (row === undefined || row.private_key === null) return undefined;
        return { certificates: row.certificates, privateKey: secrets.open(row.private_key, KEY_PURPOSE) };
      },
    },
    binding: {
      async validate(b) {
        const row = await find(String(b.certificate_id));
        if (row === undefined || row.private_key === null)
          throw workersError(
            "certificateNotFound",
            `The mTLS certificate of binding "${b.name}" was not found: ${String(b.certificate_id)}`,
          );
        return { type: b.type, name: b.name, certificate_id: row.id };
      },
      async compile(b) {
        const id = b.certificate_id as string;
        const row = await require(id);
        const service = `mtls:${id}`;
        const keypair = { privateKey: secrets.open(row.private_key as string, KEY_PURPOSE), certificateChain: row.certificates };
        return { bindings: [{ name: b.name, service }], services: [network(kernel, service, keypair)] };
      },
    },
  };
}
