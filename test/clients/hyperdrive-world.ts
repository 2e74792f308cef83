/** What tests of Hyperdrive share: certificates, a configuration's body for a server of the test's own, and the Worker of drivers. */
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, clientProject } from "../harness/npm-client.ts";
import { runProcess, type TestPlatform } from "../harness/platform.ts";
import type { Postgres } from "../harness/postgres.ts";
import { temporaryDirectory } from "../harness/temporary-directory.ts";
import { COMPATIBILITY_DATE } from "../harness/worker-project.ts";

/** A certificate and its key, in PEM. */
export interface Certificate {
  readonly name: string;
  readonly certificate: string;
  readonly key: string;
}

/** Makes certificates with openssl: `issue("server", "subjectAltName=DNS:localhost", authority)`. */
export async function certificateMaker(): Promise<(name: string, extension: string, authority?: Certificate) => Promise<Certificate>> {
  const directory = await temporaryDirectory("freehold-certificates-");
  const at = (name: string): string => join(directory, name);
  return async (name, extension, authority) => {
    await writeFile(at(`${name}.ext`), extension);
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${name}`];
    await runProcess("openssl", ["req", ...curve, "-keyout", at(`${name}.key`), "-out", at(`${name}.csr`)]);
    const signer =
      authority === undefined
        ? ["-signkey", at(`${name}.key`)]
        : ["-CA", at(`${authority.name}.pem`), "-CAkey", at(`${authority.name}.key`), "-CAcreateserial"];
    const request = ["x509", "-req", "-in", at(`${name}.csr`), "-out", at(`${name}.pem`), "-days", "2", "-extfile", at(`${name}.ext`)];
    await runProcess("openssl", [...request, ...signer]);
    const [certificate, key] = await Promise.all([`${name}.pem`, `${name}.key`].map((file) => readFile(at(file), "utf8")));
    return { name, certificate: certificate as string, key: key as string };
  };
}

/** The `origin` of a configuration for this server. */
export const originOf = ({ host, port, user, password, database }: Postgres) => ({
  ...{ host, port, user, password, database },
  scheme: "postgresql" as const,
});

export interface DriversProject {
  readonly dir: string;
  readonly url: string;
}

interface DriversOptions {
  readonly config: Readonly<Record<string, unknown>>;
  /** Where the imports are found. */
  readonly client?: Client;
  /** What is to be done in the project before it is deployed. */
  prepare?(dir: string): Promise<unknown>;
}

/** Deploys a Worker, in one file, whose imports find the drivers. */
export async function deployDrivers(
  platform: TestPlatform,
  t: Parameters<typeof clientProject>[0],
  name: string,
  source: URL,
  { config, client = "sql-drivers", prepare }: DriversOptions,
): Promise<DriversProject> {
  const dir = await clientProject(t, client);
  await copyFile(source, join(dir, "index.js"));
  const whole = { name, main: "index.js", compatibility_date: COMPATIBILITY_DATE, ...config };
  await writeFile(join(dir, "wrangler.json"), JSON.stringify(whole));
  await prepare?.(dir);
  await platform.wrangler(["deploy"], { cwd: dir });
  const { body } = await platform.rest("GET", `/accounts/${platform.ready.account_id}/workers/subdomain`);
  return { dir, url: platform.host("workers", { worker: name, subdomain: body.result.subdomain }) };
}

const PEOPLE = `model Person {
  id   Int    @id @default(autoincrement())
  name String @unique
  @@map("people")
}`;

/** Prisma's client for these models. Its generator asks for a program that it does not run, and would download. */
export async function generatePrisma(dir: string, provider = "postgresql", models = PEOPLE): Promise<void> {
  const schema = `
generator client {
  provider = "prisma-client"
  output   = "./generated"
  runtime  = "cloudflare"
}
datasource db {
  provider = "${provider}"
}
${models}`;
  await writeFile(join(dir, "schema.prisma"), schema);
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: "1", CHECKPOINT_DISABLE: "1" };
  const prisma = join(dir, "..", "node_modules", "prisma", "build", "index.js");
  await runProcess(process.execPath, [prisma, "generate", "--schema", "schema.prisma"], { cwd: dir, env });
}
