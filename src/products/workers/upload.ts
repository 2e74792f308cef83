/**
 * Reads an upload: a multipart form with a `metadata` part and one part a module, as wrangler and the SDKs send it
 * (https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/). Checks form and names only;
 * whether the bindings' targets exist and the code runs is `deploy.ts`'s affair.
 */
import { z } from "zod";
import type { BindingConfig } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import { fieldPath, objectOf } from "./form-fields.ts";
import { limitsSchema } from "./limits.ts";
import type { ModuleKind } from "./model.ts";
import { observabilitySchema } from "./observability-settings.ts";

const assetsConfigSchema = z.object({
  html_handling: z.enum(["auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"]).optional(),
  not_found_handling: z.enum(["none", "404-page", "single-page-application"]).optional(),
  base_path: z.string().optional(),
  run_worker_first: z.union([z.boolean(), z.array(z.string().max(1000)).max(200)]).optional(),
  _headers: z.string().optional(),
  _redirects: z.string().optional(),
});

export const tailConsumers = z.array(z.looseObject({ service: z.string().min(1) })).max(10);

/** Fields of a form are text. */
const flag = z.union([z.boolean(), z.enum(["true", "false"]).transform((text) => text === "true")]);

const metadataSchema = z.looseObject({
  main_module: z.string().optional(),
  body_part: z.string().optional(),
  bindings: z.array(z.looseObject({ type: z.string(), name: z.string().optional() })).default([]),
  compatibility_date: z.string().optional(),
  compatibility_flags: z.array(z.string()).default([]),
  migrations: z.unknown().optional(),
  exports: z.record(z.string(), z.unknown()).optional(),
  keep_bindings: z.array(z.string()).default([]),
  keep_assets: flag.default(false),
  assets: z.object({ jwt: z.string().optional(), config: assetsConfigSchema.default({}) }).optional(),
  annotations: z
    .object({
      "workers/message": z.string().max(1000).optional(),
      "workers/tag": z.string().max(100).optional(),
      // It becomes a part of a host name's label.
      "workers/alias": z
        .string()
        .regex(/^[a-z](-?[a-z0-9])*$/)
        .max(63)
        .optional(),
    })
    .loose()
    .default({}),
  logpush: flag.optional(),
  observability: observabilitySchema.nullish(),
  tail_consumers: tailConsumers.nullish(),
  streaming_tail_consumers: tailConsumers.nullish(),
  tags: z.array(z.string()).nullish(),
  limits: limitsSchema.nullish(),
  placement: z.unknown().optional(),
  containers: z
    .array(z.looseObject({ class_name: z.string().min(1).optional(), images: z.unknown().optional() }))
    .max(100)
    .nullish(),
});

export type UploadMetadata = z.infer<typeof metadataSchema>;

export interface UploadModule {
  readonly name: string;
  readonly kind: ModuleKind;
  readonly bytes: Uint8Array;
}

export interface Upload {
  readonly metadata: UploadMetadata;
  /** Code modules; the main module first. */
  readonly modules: readonly UploadModule[];
  /** Parts that `wasm_module`, `text_blob` and `data_blob` bindings name. */
  readonly parts: ReadonlyMap<string, Uint8Array>;
  readonly bindings: readonly BindingConfig[];
  /** JSON that says where a preview answers, in uploads of previews. */
  readonly sessionConfig?: string | undefined;
}

/** Name of that part. */
const SESSION_CONFIG = "wrangler-session-config";

const KINDS: Readonly<Record<string, ModuleKind>> = {
  "application/javascript+module": "esm",
  "text/javascript+module": "esm",
  "application/javascript": "commonjs",
  "text/javascript": "commonjs",
  "application/wasm": "wasm",
  "text/plain": "text",
  "application/octet-stream": "data",
  "application/json": "json",
  "text/x-python": "python",
  "text/x-python-requirement": "python-requirement",
  "application/source-map": "source-map",
};

const PART_BINDINGS = new Set(["wasm_module", "text_blob", "data_blob"]);

/** Whether an upload may be of configuration alone: it then has no modules. */
type CodeRule = "required" | "optional";

/** Name of the form's part with the configuration: of an upload, or of a change of settings. */
export type ConfigurationPart = "metadata" | "settings";

/** Throws the documented errors; `body` is the whole request body. `part` has the configuration. */
export async function readUpload(
  contentType: string,
  body: Uint8Array,
  code: CodeRule = "required",
  part: ConfigurationPart = "metadata",
): Promise<Upload> {
  const type = formType(contentType, body);
  return type === undefined ? bareScript(body) : readForm(await formOf(type, body), undefined, code, part);
}

/** The form in bytes whose type has been lost. */
export async function readBundle(body: Uint8Array): Promise<FormData> {
  const type = boundaryIn(body);
  if (type === undefined) throw workersError("parse");
  return formOf(type, body);
}

async function formOf(type: string, body: Uint8Array): Promise<FormData> {
  try {
    return await new Response(body as Uint8Array<ArrayBuffer>, { headers: { "content-type": type } }).formData();
  } catch (cause) {
    throw workersError("parse", undefined, { cause });
  }
}

type Configure = (metadata: Readonly<Record<string, unknown>>) => unknown;

/** `configure` gives the metadata to use for the metadata in the form. */
export async function readForm(
  form: FormData,
  configure: Configure = (metadata) => metadata,
  code: CodeRule = "required",
  part: ConfigurationPart = "metadata",
): Promise<Upload> {
  const metadata = await metadataOf(form, configure, part);
  const bindings = metadata.bindings.map(namedBinding);
  const names = new Set<string>();
  for (const binding of bindings) {
    if (names.has(binding.name))
      throw workersError("nameInUse", `Binding name '${binding.name}' already in use. Please use a different name and try again.`);
    names.add(binding.name);
  }
  const partNames = new Set(bindings.filter((b) => PART_BINDINGS.has(b.type)).map((b) => String(b.part)));
  const parts = new Map<string, Uint8Array>();
  const modules: UploadModule[] = [];
  for (const [name, value] of form) {
    if (name === part || name === SESSION_CONFIG || fieldPath(name, part) !== undefined) continue;
    const bytes = typeof value === "string" ? Buffer.from(value) : new Uint8Array(await value.arrayBuffer());
    if (partNames.has(name)) parts.set(name, bytes);
    else {
      const step = fieldPath(name, "files")?.[0];
      // The SDKs write `files[index.js]`, or `files[]` for a list.
      const path = step === "" && typeof value !== "string" ? value.name : (step ?? name);
      modules.push({ name: moduleName(path), kind: kindOf(path, typeof value === "string" ? "" : value.type), bytes });
    }
  }
  for (const name of partNames)
    if (!parts.has(name)) throw workersError("validation", `The upload has no part named "${name}" that a binding refers to.`);
  return { metadata, modules: mainFirst(modules, metadata, code), parts, bindings, sessionConfig: await text(form.get(SESSION_CONFIG)) };
}

/** `PUT` with the script itself as body: service-worker syntax, without bindings. */
function bareScript(body: Uint8Array): Upload {
  const metadata = metadataSchema.parse({ body_part: "script" });
  return { metadata, modules: [{ name: "script", kind: "commonjs", bytes: body }], parts: new Map(), bindings: [] };
}

/** The form's Content-Type; undefined for a body that is the script itself. */
function formType(contentType: string, body: Uint8Array): string | undefined {
  // The TypeScript SDK sends its form under the type of a script.
  return /^(application|text)\/javascript\b/.test(contentType) ? boundaryIn(body) : contentType;
}

/** The Content-Type of a form by the boundary in its first line. */
function boundaryIn(body: Uint8Array): string | undefined {
  const start = Buffer.from(body.buffer, body.byteOffset, Math.min(body.byteLength, 300)).toString("latin1");
  const boundary = /^--([^\r\n]+)\r\ncontent-disposition: form-data;/i.exec(start)?.[1];
  return boundary === undefined ? undefined : `multipart/form-data; boundary=${boundary}`;
}

/** Metadata as one JSON part, or as the SDKs' fields. */
async function metadataOf(form: FormData, configure: Configure, part: ConfigurationPart): Promise<UploadMetadata> {
  const json = await text(form.get(part));
  if (json !== undefined) {
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch (cause) {
      throw workersError("parse", `The part \`${part}\` is not valid JSON.`, { cause });
    }
    return parseMetadata(isObject(value) ? configure(value) : value);
  }
  const fields: [string[], string][] = [];
  for (const [name, value] of form) {
    const path = fieldPath(name, part);
    if (path !== undefined && typeof value === "string") fields.push([path, value]);
  }
  if (fields.length === 0) throw workersError("parse", `The upload has no part named \`${part}\`.`);
  return parseMetadata(configure(objectOf(fields)));
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function parseMetadata(value: unknown): UploadMetadata {
  const parsed = metadataSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw workersError("validation", `metadata.${issue?.path.join(".")}: ${issue?.message}`);
}

function namedBinding(binding: { type: string; name?: string | undefined }): BindingConfig {
  if (binding.name === undefined || binding.name === "") throw workersError("unnamedBinding");
  return binding as BindingConfig;
}

function moduleName(name: string): string {
  const steps = name.split("/");
  if (name === "" || name.startsWith("/") || steps.includes("..") || name.includes("\0")) {
    throw workersError("validation", `Module name "${name}" is not a relative path.`);
  }
  return steps.filter((step) => step !== ".").join("/");
}

function kindOf(name: string, type: string): ModuleKind {
  const mime = (type.split(";")[0] as string).trim().toLowerCase();
  const kind = KINDS[mime];
  if (kind !== undefined) return kind;
  throw workersError("validation", `Module "${name}" has the unknown type "${type}".`);
}

function mainFirst(modules: readonly UploadModule[], metadata: UploadMetadata, code: CodeRule): readonly UploadModule[] {
  const given = metadata.main_module ?? metadata.body_part;
  if (given === undefined) {
    if (code === "optional" && modules.length === 0) return modules;
    if (metadata.assets !== undefined || metadata.keep_assets) return modules;
    throw workersError("validation", "The metadata names neither `main_module` nor `body_part`.");
  }
  const name = moduleName(given);
  const main = modules.find((module) => module.name === name);
  if (main === undefined)
    throw workersError("validation", `No such module "${given}": the upload has no part with the main module's name.`);
  return [main, ...modules.filter((module) => module !== main)];
}

async function text(value: File | string | null): Promise<string | undefined> {
  if (value === null) return undefined;
  return typeof value === "string" ? value : value.text();
}
