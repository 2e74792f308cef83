/**
 * The catalog: models of the operator's, in a directory that the configuration names. A folder is a catalog project, a file in it
 * a model: `image-classification/squeezenet.onnx`. Any project's binding may run them. Read once, at the start; ids follow
 * from the paths and stay the same.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import type { ModelFile } from "./engine.ts";
import type { RuntimeName } from "./predictor.ts";
import type { ModelView, ProjectView } from "./projects.ts";

export interface CatalogEntry {
  readonly project: ProjectView;
  readonly models: readonly ModelView[];
}

export interface Catalog {
  readonly entries: readonly CatalogEntry[];
  file(model: string): ModelFile | undefined;
}

const RUNTIME_OF: Readonly<Record<string, RuntimeName>> = { ".onnx": "ONNX", ".json": "XGBoost" };

/** Throws when the directory cannot be read, or a folder has models of two runtimes. An empty path is an empty catalog. */
export async function openCatalog(directory: string): Promise<Catalog> {
  const entries: CatalogEntry[] = [];
  const files = new Map<string, ModelFile>();
  for (const folder of directory === "" ? [] : (await readdir(directory, { withFileTypes: true })).filter((one) => one.isDirectory())) {
    const project_id = idOf(folder.name);
    const names = (await readdir(join(directory, folder.name))).filter((name) => Object.hasOwn(RUNTIME_OF, extname(name))).sort();
    const [runtime, another] = new Set(names.map((name) => RUNTIME_OF[extname(name)] as RuntimeName));
    if (runtime === undefined) continue;
    if (another !== undefined) throw new Error(`constellation.catalog: ${folder.name} has models of ${runtime} and of ${another}`);
    const models: ModelView[] = [];
    for (const name of names) {
      const path = join(directory, folder.name, name);
      const id = idOf(`${folder.name}/${name}`);
      models.push({
        id,
        project_id,
        name: basename(name, extname(name)),
        description: "",
        created_at: (await stat(path)).mtime.toISOString(),
      });
      files.set(id, { id, runtime, read: () => readFile(path) });
    }
    const created_at = (await stat(join(directory, folder.name))).mtime.toISOString();
    entries.push({ project: { id: project_id, name: folder.name, runtime, created_at }, models });
  }
  return { entries, file: (model) => files.get(model) };
}

/** A UUID of the eighth version, which is anybody's to fill: here by a hash. */
function idOf(path: string): string {
  const hash = createHash("sha256").update(path).digest("hex");
  return [hash.slice(0, 8), hash.slice(8, 12), `8${hash.slice(13, 16)}`, `8${hash.slice(17, 20)}`, hash.slice(20, 32)].join("-");
}
