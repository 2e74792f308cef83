/**
 * `freehold sandbox image`: builds the image that Dockerfiles of sandboxes start from in the operator's container engine, under the
 * names by which Cloudflare's is known, so that `FROM docker.io/cloudflare/sandbox:<version>` finds it there. What runs in it is
 * `src/products/sandbox/runtime` on the Node that runs this command.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, cpSync, linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Args, CliError, type Command } from "../../command.ts";

/** The version of `@cloudflare/sandbox` whose protocol the runtime speaks. */
const SDK_VERSION = "0.12.10";
const REPOSITORY = "docker.io/cloudflare/sandbox";
const BASE = "node:24-bookworm-slim";

const product = fileURLToPath(new URL("../../../products/sandbox/", import.meta.url));
/** Source in a checkout, JavaScript in the package: as this file itself. */
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";

export const image: Command = {
  name: "sandbox image",
  summary: "build the image of sandboxes in your container engine",
  details: `Makes ${REPOSITORY}:${SDK_VERSION} (with --python also its -python variant) out of a base image and Freehold's own runtime, so that Dockerfiles which start FROM it build without Docker Hub. Tools that the base lacks are installed with apt-get; a base that has them needs no network. DOCKER_HOST names the engine.`,
  flags: {
    base: { value: "IMAGE", doc: `what to build on: Debian or Ubuntu, or an image with the tools (default ${BASE})` },
    python: { doc: "with Python, matplotlib, NumPy and pandas; named …-python too" },
    version: { value: "VERSION", doc: `the version that Dockerfiles name, that of @cloudflare/sandbox (default ${SDK_VERSION})` },
  },
  async run(args: Args): Promise<number> {
    const version = args.text("version") ?? SDK_VERSION;
    if (!/^[\w.-]+$/.test(version)) throw new CliError(`"${version}" is no version: give one such as ${SDK_VERSION}.`);
    const tags = [`${REPOSITORY}:${version}`, ...(args.has("python") ? [`${REPOSITORY}:${version}-python`] : [])];
    const context = mkdtempSync(join(tmpdir(), "freehold-sandbox-image-"));
    try {
      await fill(context, version);
      await docker([
        ...["build", ...tags.flatMap((tag) => ["--tag", tag]), "--file", join(product, "Dockerfile")],
        ...["--build-arg", `BASE=${args.text("base") ?? BASE}`, "--build-arg", `PYTHON=${args.has("python") ? "1" : ""}`, context],
      ]);
    } finally {
      rmSync(context, { recursive: true, force: true });
    }
    process.stdout.write(`${tags.join("\n")}\n`);
    return 0;
  },
};

/** The files of the image: Node, the runtime, the one package it needs, and the program that finds or unpacks them. */
async function fill(context: string, version: string): Promise<void> {
  const server = join(context, "container-server");
  mkdirSync(join(server, "node_modules"), { recursive: true });
  place(process.execPath, join(server, "node"));
  const skip = (path: string) => !/\.test\.[tj]s$/.test(path);
  cpSync(join(product, "runtime"), join(server, "runtime"), { recursive: true, filter: skip });
  cpSync(dirname(createRequire(import.meta.url).resolve("ws/package.json")), join(server, "node_modules", "ws"), { recursive: true });
  writeFileSync(join(server, "package.json"), JSON.stringify({ type: "module", private: true }));
  const packed = join(context, "packed.tar.gz");
  await run("tar", ["--create", "--use-compress-program=gzip -1", "--file", packed, "--directory", server, "."]);
  writeFileSync(join(context, "launcher"), launcher(version));
  await run(
    "sh",
    ["-c", "cat launcher packed.tar.gz > container-server/sandbox && chmod 755 container-server/sandbox && rm launcher packed.tar.gz"],
    context,
  );
}

/**
 * The head of `/container-server/sandbox`, which any image can copy and run: the files it needs follow it as an archive, and are
 * unpacked where they are not there yet. The program's arguments are the image's own command. The shell stays: as the container's first
 * process it is who collects the processes whose parents have ended.
 */
function launcher(version: string): string {
  const script = (skipped: number) => `#!/bin/sh
set -e
home=/container-server
export SANDBOX_VERSION="\${SANDBOX_VERSION:-${version}}"
if [ ! -x "$home/node" ]; then
  mkdir -p "$home"
  tail -n +${skipped} "$0" | tar -xzf - -C "$home"
fi
"$home/node" --disable-warning=ExperimentalWarning "$home/runtime/main.${extension}" "$@" &
runtime=$!
trap 'kill -TERM "$runtime"' TERM INT
set +e
while :; do
  wait "$runtime"
  code=$?
  kill -0 "$runtime" 2>/dev/null || exit "$code"
done
`;
  return script(script(0).split("\n").length);
}

/** A second name for a large file where the file system allows it, else a copy. */
function place(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

async function docker(args: readonly string[]): Promise<void> {
  // The older builder needs no plug-in, and both take the same file.
  await run(process.env.WRANGLER_DOCKER_BIN ?? "docker", args);
}

async function run(program: string, args: readonly string[], cwd?: string): Promise<void> {
  const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"], ...(cwd !== undefined && { cwd }) });
  const [code] = await once(child, "exit").catch((error: Error) => {
    throw new CliError(`Cannot run ${program}: ${error.message}. Install it, or name Docker's client with WRANGLER_DOCKER_BIN.`);
  });
  if (code !== 0) throw new CliError(`${program} ${args[0]} failed with exit code ${code}; its own words are above.`);
}
