/** Client certificates: `wrangler mtls-certificate`, the binding, and an origin that lets nobody else in. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { runProcess, startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { noOpenssl } from "../../harness/programs.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const directory = mkdtempSync(join(tmpdir(), "freehold-mtls-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const at = (name: string): string => join(directory, name);

/** A certificate and its key, signed by the authority "ca" or by itself. */
async function certificate(name: string, extension: string, ca?: string): Promise<void> {
  writeFileSync(at(`${name}.ext`), extension);
  const request = [
    "req",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-subj",
    `/CN=${name}`,
    "-keyout",
    at(`${name}.key`),
    "-out",
    at(`${name}.csr`),
  ];
  await runProcess("openssl", request);
  const signer =
    ca === undefined ? ["-signkey", at(`${name}.key`)] : ["-CA", at(`${ca}.pem`), "-CAkey", at(`${ca}.key`), "-CAcreateserial"];
  await runProcess("openssl", [
    "x509",
    "-req",
    "-in",
    at(`${name}.csr`),
    "-out",
    at(`${name}.pem`),
    "-days",
    "2",
    "-extfile",
    at(`${name}.ext`),
    ...signer,
  ]);
}

/** The origin that lets in only who shows a certificate of "ca", and a platform that trusts the same authority. */
async function world(): Promise<{ platform: TestPlatform; port: number }> {
  await certificate("ca", "basicConstraints=critical,CA:TRUE");
  await certificate("origin", "subjectAltName=DNS:localhost,IP:127.0.0.1", "ca");
  await certificate("visitor", "extendedKeyUsage=clientAuth", "ca");
  await certificate("stranger", "extendedKeyUsage=clientAuth");
  const [key, cert, ca] = ["origin.key", "origin.pem", "ca.pem"].map((name) => readFileSync(at(name)));
  const origin = https.createServer({ key, cert, ca, requestCert: true, rejectUnauthorized: true }, (request, response) =>
    response.end(`welcome ${(request.socket as TLSSocket).getPeerCertificate().subject.CN}`),
  );
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  after(() => void origin.close());
  const config = { "runtime.outbound_allow": ["public", "private"], "runtime.trusted_certificates": [at("ca.pem")] };
  return { platform: await startPlatform({ after }, { config }), port: (origin.address() as AddressInfo).port };
}

const made = noOpenssl ? undefined : await world();
// Without openssl both tests are skipped.
const { platform, port } = made ?? ({} as NonNullable<typeof made>);

const files = {
  "index.js": `export default { async fetch(request, env) {
    const attempt = (work) => work().then((r) => r.text(), (error) => "refused");
    return Response.json({ bound: await attempt(() => env.CERT.fetch("https://127.0.0.1:${port}/")), plain: await attempt(() => fetch("https://127.0.0.1:${port}/")) });
  } };`,
};

test("[workers-42] an origin that demands a client certificate sees the binding's, and no other way in", { skip: noOpenssl }, async () => {
  const tool = await workerProject(platform, { files, config: { name: "mtls" } });
  const upload = async (name: string): Promise<string> => {
    const { stdout } = await tool.wrangler([
      "mtls-certificate",
      "upload",
      "--cert",
      at(`${name}.pem`),
      "--key",
      at(`${name}.key`),
      "--name",
      name,
    ]);
    return /ID: (\S+)/.exec(stdout)?.[1] as string;
  };
  const visitor = await upload("visitor");
  const stranger = await upload("stranger");
  const listed = (await tool.wrangler(["mtls-certificate", "list"])).stdout;
  assert.match(listed, new RegExp(`ID: ${visitor}[\\s\\S]*Issuer: CN=ca[\\s\\S]*ID: ${stranger}`));
  const binding = (id: string) => ({ mtls_certificates: [{ binding: "CERT", certificate_id: id }] });
  const invited = await deployWorker(platform, { files, config: { name: "invited", ...binding(visitor) } });
  assert.deepEqual(await (await platform.fetch(invited.url)).json(), { bound: "welcome visitor", plain: "refused" });
  const other = await deployWorker(platform, { files, config: { name: "uninvited", ...binding(stranger) } });
  assert.deepEqual(await (await platform.fetch(other.url)).json(), { bound: "refused", plain: "refused" });

  const used = await platform.rest("DELETE", `/accounts/${platform.ready.account_id}/mtls_certificates/${visitor}`);
  assert.deepEqual([used.status, used.body.errors[0]?.code], [409, 1407]);
  await invited.wrangler(["delete", "--force"]);
  await tool.wrangler(["mtls-certificate", "delete", "--id", visitor], { input: "y\n" });
  assert.doesNotMatch((await tool.wrangler(["mtls-certificate", "list"])).stdout, new RegExp(visitor));
});

test("certificates that are none, keys that do not fit, and unknown ids are refused; no answer shows a key", {
  skip: noOpenssl,
}, async () => {
  const post = (body: object) => platform.rest("POST", `/accounts/${platform.ready.account_id}/mtls_certificates`, body);
  const pem = (name: string) => readFileSync(at(name), "utf8");
  for (const [body, words] of [
    [{ certificates: "nothing", private_key: pem("visitor.key") }, /not valid PEM/],
    [{ certificates: pem("visitor.pem"), private_key: pem("stranger.key") }, /does not belong/],
    [{ certificates: pem("visitor.pem") }, /needs its private key/],
    [{ certificates: pem("visitor.pem"), ca: true }, /not one of a certificate authority/],
  ] as const) {
    const { status, body: answer } = await post(body);
    assert.equal(status, 400);
    assert.match(answer.errors[0]?.message ?? "", words);
  }
  assert.equal((await post({ certificates: pem("ca.pem"), ca: true })).status, 200);
  const { body } = await post({ certificates: pem("origin.pem"), private_key: pem("origin.key"), name: "mine" });
  assert.doesNotMatch(JSON.stringify(body), /PRIVATE/);
  assert.equal((await post({ certificates: pem("origin.pem"), private_key: pem("origin.key") })).body.errors[0]?.code, 1406);
  const lost = await workerProject(platform, {
    files,
    config: { name: "lost-cert", mtls_certificates: [{ binding: "CERT", certificate_id: "00000000-0000-0000-0000-000000000000" }] },
  });
  const refused = await lost.wrangler(["deploy"], { code: 1 });
  assert.match(refused.stdout + refused.stderr, /mTLS certificate of binding "CERT" was not found/);
});
