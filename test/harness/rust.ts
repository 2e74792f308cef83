/** Clients in Rust: the programs of `test/clients/rust`, each built once and kept under `.rust`. */
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { takeLock } from "./lock.ts";
import { projectRoot, runProcess } from "./platform.ts";

const BUILD_DEADLINE_MS = 9 * 60_000;

/** Why Rust clients cannot be built here, or false: for `test(…, { skip: noRust })`. */
export const noRust: string | false = spawnSync("cargo", ["--version"]).error !== undefined && "Rust's cargo is not installed";

/** Builds the package of that folder, where it is not built yet; the path of its program. */
export async function rustProgram(folder: string, program: string): Promise<string> {
  const target = join(projectRoot, ".rust", folder);
  await mkdir(target, { recursive: true });
  const lock = await takeLock(join(target, "lock.sqlite"), BUILD_DEADLINE_MS);
  try {
    const manifest = join(projectRoot, "test", "clients", "rust", folder, "Cargo.toml");
    await runProcess("cargo", ["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", target], {
      timeoutMs: BUILD_DEADLINE_MS,
    });
  } finally {
    lock.close();
  }
  return join(target, "debug", program);
}
