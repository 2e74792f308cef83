/** The CA is judged by other people's code: the openssl command, Node's https client, and curl where it is installed. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { type CertificateAuthority, openCertificateAuthority } from "./tls.ts";

const run = promisify(execFile);
const DAY_MS = 24 * 60 * 60 * 1000;

interface Fixture {
  readonly directory: string;
  readonly clock: { time: number; now(): number };
  open(): Promise<CertificateAuthority>;
}

async function fixture(
  t: TestContext,
  allowed = (host: string) => host.endsWith("example.test") || host === "127.0.0.1" || host === "::1",
) {
  const directory = await mkdtemp(join(tmpdir(), "freehold-tls-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const clock = { time: Date.now(), now: () => clock.time };
  return { directory, clock, open: () => openCertificateAuthority({ directory, clock, allows: allowed, cacheMax: 3 }) } satisfies Fixture;
}

const noOpenssl = spawnSync("openssl", ["version"]).status !== 0 && "the openssl command is not installed";

test("openssl verifies a host's certificate against the CA, strictly and for its name only", { skip: noOpenssl }, async (t) => {
  const { directory, open } = await fixture(t);
  const ca = await open();
  for (const host of ["a.example.test", "127.0.0.1", "::1"]) {
    const leaf = join(directory, "leaf.pem");
    await writeFile(leaf, ca.certificateFor(host).cert);
    const name = /[:]|^\d/.test(host) ? "-verify_ip" : "-verify_hostname";
    const verify = (wanted: string) =>
      run("openssl", ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca.file, name, wanted, leaf]);
    assert.match((await verify(host)).stdout, /: OK/);
    await assert.rejects(verify(name === "-verify_ip" ? "127.0.0.2" : "b.example.test"), /mismatch/);
  }
});

test("a certificate has the fields that clients demand", async (t) => {
  const { open } = await fixture(t);
  const ca = await open();
  const leaf = new X509Certificate(ca.certificateFor("a.example.test").cert);
  const root = new X509Certificate(ca.certificate);
  assert.equal(leaf.subjectAltName, "DNS:a.example.test");
  assert.deepEqual(leaf.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
  assert.equal(leaf.ca, false);
  assert.equal(root.ca, true);
  assert.ok(leaf.checkIssued(root) && leaf.verify(root.publicKey));
  assert.ok(leaf.validToDate.getTime() - leaf.validFromDate.getTime() < 399 * DAY_MS);
  assert.ok(leaf.validToDate.getTime() - Date.now() < 398 * DAY_MS);
});

test("Node's https client reaches each allowed name, and no other", async (t) => {
  const { open } = await fixture(t);
  const ca = await open();
  const server = https.createServer(ca.serverOptions(["127.0.0.1", "localhost"]), (request, response) =>
    response.end(request.headers.host),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;

  const get = (host: string) =>
    new Promise<string>((resolve, reject) => {
      const lookup = (_name: string, _options: unknown, done: (e: null, a: { address: string; family: number }[]) => void) =>
        done(null, [{ address: "127.0.0.1", family: 4 }]);
      https
        .get({ host, port, ca: ca.certificate, agent: false, lookup: lookup as never }, (response) => {
          response.setEncoding("utf8");
          let body = "";
          response.on("data", (chunk: string) => {
            body += chunk;
          });
          response.on("end", () => resolve(body));
        })
        .on("error", reject);
    });
  assert.equal(await get("a.example.test"), `a.example.test:${port}`);
  assert.equal(await get("A.Example.test"), `A.Example.test:${port}`);
  await assert.rejects(get("localhost"), /alert|ECONNRESET|disconnected/);
  // Addresses are not sent as SNI: the fallback certificate serves them.
  assert.equal(await get("127.0.0.1"), `127.0.0.1:${port}`);
});

test("without trust in the CA a client refuses", async (t) => {
  const { open } = await fixture(t);
  const ca = await open();
  const server = https.createServer(ca.serverOptions(["127.0.0.1"]));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const socket = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", servername: "a.example.test" });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "SELF_SIGNED_CERT_IN_CHAIN");
});

test("the CA is made once; its key is readable by the owner alone", async (t) => {
  const { directory, open } = await fixture(t);
  const first = await open();
  assert.equal((await stat(join(directory, "ca.key"))).mode & 0o777, 0o600);
  const second = await open();
  assert.equal(second.certificate, first.certificate);
  assert.ok(new X509Certificate(second.certificateFor("a.example.test").cert).checkIssued(new X509Certificate(first.certificate)));
});

test("a key whose certificate was not written yet is replaced", async (t) => {
  const { directory, open } = await fixture(t);
  const first = await open();
  const other = await fixture(t);
  await other.open();
  await writeFile(join(directory, "ca.key"), await readFile(join(other.directory, "ca.key")));
  const second = await open();
  assert.notEqual(second.certificate, first.certificate);
  assert.equal((await open()).certificate, second.certificate);
});

test("a CA with less than a year left is replaced; a server certificate is renewed before it ends", async (t) => {
  const { clock, open } = await fixture(t);
  const ca = await open();
  const first = ca.certificateFor("a.example.test").cert;
  assert.equal(ca.certificateFor("a.example.test").cert, first);
  clock.time += 370 * DAY_MS;
  const renewed = ca.certificateFor("a.example.test").cert;
  assert.notEqual(renewed, first);
  assert.ok(new X509Certificate(renewed).validToDate.getTime() > clock.time + 300 * DAY_MS);
  clock.time += 3000 * DAY_MS;
  assert.notEqual((await open()).certificate, ca.certificate);
});

test("names outside the predicate, and texts that are no names, get no certificate", async (t) => {
  const { open } = await fixture(t, () => true);
  const ca = await open();
  for (const bad of ["", "a b", "*.example.test", "a\0b", "-a.test", "a..b", `${"a".repeat(64)}.test`, "a/b", `${"a.".repeat(127)}test`])
    assert.throws(() => ca.certificateFor(bad), /no certificate/, JSON.stringify(bad));
  const strict = await (await fixture(t)).open();
  assert.throws(() => strict.certificateFor("bank.test"), /does not serve/);
  assert.throws(() => strict.certificateFor("example.test.evil.test"), /does not serve/);
});

test("the cache is bounded and drops what was not used for longest", async (t) => {
  const { open } = await fixture(t);
  const ca = await open();
  const first = ca.certificateFor("a.example.test");
  ca.certificateFor("b.example.test");
  ca.certificateFor("c.example.test");
  assert.equal(ca.certificateFor("a.example.test"), first);
  const b = ca.certificateFor("b.example.test");
  ca.certificateFor("d.example.test");
  ca.certificateFor("e.example.test");
  assert.equal(ca.certificateFor("b.example.test"), b);
  assert.notEqual(ca.certificateFor("a.example.test"), first);
});
