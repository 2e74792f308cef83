/**
 * Reads the form of a deployment, as wrangler sends it: the manifest, where it comes from, the files with rules, and the code
 * of Functions. Checks form, names and documented limits only; whether the files are there is `deploy.ts`'s affair.
 */
import { z } from "zod";
import { parseJson } from "../../kernel/api/body.ts";
import { pagesError } from "./errors.ts";
import type { FunctionsCode } from "./functions.ts";
import { parseRoutes } from "./rules/routes-file.ts";
import type { Manifest } from "./store.ts";

export interface DeploymentForm {
  readonly manifest: Manifest;
  readonly branch: string | undefined;
  readonly commit: { readonly hash: string; readonly message: string; readonly dirty: boolean };
  readonly headers: string | null;
  readonly redirects: string | null;
  readonly routes: string | null;
  readonly code: FunctionsCode | undefined;
  /** Given by a project with a configuration file. */
  readonly configHash: string | undefined;
  readonly outputDirectory: string | undefined;
}

/** Documented. */
const MESSAGE_MAX_BYTES = 384;
/** Of a file with rules: 2,100 lines of 2,000 characters. */
const RULES_MAX_BYTES = 4.2 * 1024 * 1024;
const BRANCH_MAX = 255;
const PATH_MAX_BYTES = 3_000;
/** Never served, and not part of the manifest of a client that knows them. */
export const RULE_FILES = new Set(["/_headers", "/_redirects", "/_routes.json", "/_worker.js"]);

const manifestSchema = z.record(z.string(), z.string().regex(/^[0-9a-f]{32}$/));

/** Throws the documented errors. `filesMax` is the documented number of files. */
export async function readDeploymentForm(contentType: string, body: Uint8Array, filesMax: number): Promise<DeploymentForm> {
  const form = await formOf(contentType, body);
  const manifest = await text(form, "manifest");
  if (manifest === undefined) throw pagesError("noManifest");
  const bundle = form.get("_worker.bundle");
  const script = await text(form, "_worker.js");
  const routes = (await text(form, "_routes.json")) ?? null;
  if (routes !== null) checkRoutes(routes);
  return {
    manifest: checkedManifest(manifest, filesMax),
    branch: (await text(form, "branch"))?.slice(0, BRANCH_MAX) || undefined,
    commit: {
      hash: (await text(form, "commit_hash")) ?? "",
      message: Buffer.from((await text(form, "commit_message")) ?? "")
        .subarray(0, MESSAGE_MAX_BYTES)
        .toString("utf8"),
      dirty: (await text(form, "commit_dirty")) === "true",
    },
    headers: (await text(form, "_headers")) ?? null,
    redirects: (await text(form, "_redirects")) ?? null,
    routes,
    code:
      bundle !== null
        ? { bundle: typeof bundle === "string" ? Buffer.from(bundle) : new Uint8Array(await bundle.arrayBuffer()) }
        : script === undefined
          ? undefined
          : { script },
    configHash: await text(form, "wrangler_config_hash"),
    outputDirectory: await text(form, "pages_build_output_dir"),
  };
}

/** The branch of a form without a manifest, which asks for a build; "" when it names none. Undefined for any other body. */
export async function branchAlone(contentType: string, body: Uint8Array): Promise<string | undefined> {
  if (body.byteLength === 0) return "";
  if (/^application\/json\b/i.test(contentType)) {
    const parsed = z.object({ branch: z.string().optional() }).safeParse(parseJson(Buffer.from(body).toString("utf8")));
    return parsed.success ? (parsed.data.branch ?? "") : undefined;
  }
  const form = await formOf(contentType, body);
  return form.has("manifest") ? undefined : ((await text(form, "branch")) ?? "");
}

async function formOf(contentType: string, body: Uint8Array): Promise<FormData> {
  try {
    return await new Response(body as Uint8Array<ArrayBuffer>, { headers: { "content-type": contentType } }).formData();
  } catch (cause) {
    throw pagesError("noManifest", undefined, { cause });
  }
}

async function text(form: FormData, name: string): Promise<string | undefined> {
  const value = form.get(name);
  if (value === null) return undefined;
  const found = typeof value === "string" ? value : await value.text();
  if (name.startsWith("_") && name !== "_worker.js" && found.length > RULES_MAX_BYTES)
    throw pagesError("invalidDeployment", `${name} is too large.`);
  return found;
}

function checkRoutes(routes: string): void {
  try {
    parseRoutes(routes);
  } catch (cause) {
    throw pagesError("invalidDeployment", "_routes.json is invalid: it needs version 1, 1 to 100 rules of at most 100 characters.", {
      cause,
    });
  }
}

function checkedManifest(json: string, filesMax: number): Manifest {
  const parsed = manifestSchema.safeParse(parseJson(json));
  if (!parsed.success) throw pagesError("invalidDeployment", "The manifest must name a hash of 32 hexadecimal digits for each path.");
  const entries = Object.entries(parsed.data).filter(([path]) => !RULE_FILES.has(path));
  if (entries.length > filesMax) {
    throw pagesError("invalidDeployment", `Pages only supports up to ${filesMax.toLocaleString("en")} files in a deployment.`);
  }
  for (const [path] of entries) {
    const bad = path
      .split("/")
      .slice(1)
      .some((step) => step === "" || step === "." || step === "..");
    if (!path.startsWith("/") || bad || path.includes("\0") || Buffer.byteLength(path) > PATH_MAX_BYTES)
      throw pagesError("invalidDeployment", `The path ${JSON.stringify(path.slice(0, 200))} is invalid.`);
  }
  return Object.fromEntries(entries);
}
