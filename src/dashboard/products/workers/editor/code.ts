/**
 * The code of a Worker while it is edited: modules by name, in the forms that the API gives and takes. Configuration is no
 * part of it but for the compatibility of a Worker that is not deployed yet.
 */

export interface CodeModule {
  readonly name: string;
  /** Media type, which says what an import of it gives. */
  readonly type: string;
  /** What can be edited; a module of bytes has a Blob. */
  readonly content: string | Blob;
}

export interface WorkerCode {
  readonly main: string;
  /** In the order of their tabs. */
  readonly modules: readonly CodeModule[];
  readonly compatibilityDate?: string;
  readonly compatibilityFlags?: readonly string[];
}

const ES_MODULE = "application/javascript+module";
const SCRIPT = "application/javascript";

const types: Readonly<Record<string, string>> = {
  js: ES_MODULE,
  mjs: ES_MODULE,
  cjs: SCRIPT,
  json: "application/json",
  py: "text/x-python",
  wasm: "application/wasm",
  bin: "application/octet-stream",
};

/** What a new module of that name is; without a known ending its text. */
export const typeOfName = (name: string): string => types[name.split(".").at(-1) ?? ""] ?? "text/plain";

const isText = (type: string): boolean => type !== "application/wasm" && type !== "application/octet-stream";

/** A Worker in the older syntax, whose one script listens to events. */
const isScript = ({ main, modules }: WorkerCode): boolean =>
  modules.length === 1 && modules[0]?.name === main && modules[0].type === SCRIPT;

/** Why a module cannot have this name; undefined when it can. */
export function nameProblem(name: string, modules: readonly CodeModule[]): string | undefined {
  if (name === "") return "A module needs a name.";
  if (!/^[\w@-][\w@.-]*(\/[\w@-][\w@.-]*)*$/.test(name)) return "Letters, digits, dots, dashes, and slashes between folders.";
  if (modules.some((module) => module.name === name)) return "There is a module of this name.";
  return undefined;
}

/** The form of an upload. */
export function uploadForm(code: WorkerCode, metadata: Readonly<Record<string, unknown>> = {}): FormData {
  const form = new FormData();
  const about = {
    [isScript(code) ? "body_part" : "main_module"]: code.main,
    ...(code.compatibilityDate && { compatibility_date: code.compatibilityDate }),
    ...(code.compatibilityFlags && { compatibility_flags: code.compatibilityFlags }),
    ...metadata,
  };
  form.set("metadata", new Blob([JSON.stringify(about)], { type: "application/json" }));
  for (const { name, type, content } of code.modules) form.set(name, new Blob([content], { type }), name);
  return form;
}

/** The code in an answer of `GET …/content/v2`. */
export async function codeOf(response: Response): Promise<WorkerCode> {
  if (!response.headers.get("content-type")?.startsWith("multipart/"))
    return { main: "script", modules: [{ name: "script", type: SCRIPT, content: await response.text() }] };
  return { ...(await codeOfForm(await response.formData())), main: response.headers.get("cf-entrypoint") ?? "" };
}

/** The code of a form that was made for an upload. Throws when it has none. */
export async function codeOfForm(form: FormData): Promise<WorkerCode> {
  const modules: CodeModule[] = [];
  let about: { main_module?: unknown; compatibility_date?: unknown; compatibility_flags?: unknown } = {};
  for (const [name, value] of form) {
    if (name === "metadata") about = JSON.parse(await new Response(value).text());
    else if (typeof value !== "string") {
      const type = value.type.split(";")[0] as string;
      modules.push({ name, type, content: isText(type) ? await value.text() : value });
    }
  }
  if (modules.length === 0) throw new Error("There is no code in it.");
  const flags = Array.isArray(about.compatibility_flags) ? about.compatibility_flags.map(String) : undefined;
  return {
    main: typeof about.main_module === "string" ? about.main_module : (modules[0] as CodeModule).name,
    modules,
    ...(typeof about.compatibility_date === "string" && { compatibilityDate: about.compatibility_date }),
    ...(flags && { compatibilityFlags: flags }),
  };
}
