/** Workers with containers: a project whose classes come from the package `@cloudflare/containers`, and the image that its tests run. */
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Docker } from "../harness/docker.ts";
import { type ImageOptions, writeImage } from "../harness/docker.ts";
import type { RunResult, TestPlatform } from "../harness/platform.ts";
import { projectRoot } from "../harness/platform.ts";
import { type WorkerProject, workerProject } from "../harness/worker-project.ts";

export interface ContainerProject extends WorkerProject {
  /** Writes another version of the image. */
  image(options: ImageOptions): Promise<void>;
  /** Writes other members into the container's configuration. */
  configure(changes: Readonly<Record<string, unknown>>): Promise<void>;
}

export interface ContainerProjectOptions {
  readonly name: string;
  readonly code: string;
  /** Name of the class → members of its configuration beside `class_name` and `image`. */
  readonly classes: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly image?: ImageOptions;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A project with a Dockerfile in \`image/\`; its commands run with the test's Docker engine. */
export async function containerProject(
  platform: TestPlatform,
  docker: Docker,
  options: ContainerProjectOptions,
): Promise<ContainerProject> {
  const { name, code, classes } = options;
  let changes: Readonly<Record<string, unknown>> = {};
  const configOf = () => ({
    name,
    containers: Object.entries(classes).map(([class_name, members]) => ({
      class_name,
      image: "./image/Dockerfile",
      ...members,
      ...changes,
    })),
    durable_objects: { bindings: Object.keys(classes).map((class_name) => ({ name: class_name.toUpperCase(), class_name })) },
    migrations: [{ tag: "v1", new_sqlite_classes: Object.keys(classes) }],
    ...options.config,
  });
  const project = await workerProject(platform, { files: { "index.js": code }, config: configOf() });
  await symlink(join(projectRoot, "node_modules"), join(project.dir, "node_modules"));
  await writeImage(join(project.dir, "image"), options.image);
  const wrangler: WorkerProject["wrangler"] = (args, run = {}): Promise<RunResult> =>
    project.wrangler(args, { ...run, env: { ...docker.env, ...run.env } });
  return {
    dir: project.dir,
    write: project.write,
    get url() {
      return project.url;
    },
    wrangler,
    deploy: (args = []) => project.deploy(args, { env: docker.env }),
    image: (image) => writeImage(join(project.dir, "image"), image),
    async configure(given) {
      changes = given;
      const config = { main: "index.js", compatibility_date: "2026-11-01", ...configOf() };
      await project.write({ "wrangler.json": JSON.stringify(config, null, 2) });
    },
  };
}
