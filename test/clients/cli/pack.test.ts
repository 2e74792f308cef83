/**
 * The npm package as a stranger gets it: packed, installed into an empty folder, started through npx. Runs under the
 * first `node` on the PATH that is not ours, which is usually older than the platform needs.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, watch } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { projectRoot, type Ready, runProcess } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const READY_DEADLINE_MS = 30_000;
const INSTALL_DEADLINE_MS = 5 * 60_000;

/** The environment of someone who has not heard of this checkout: none of its programs, none of npm's settings. */
function strangersEnv(): NodeJS.ProcessEnv {
  const path = (process.env.PATH ?? "").split(delimiter).filter((entry) => !entry.includes("node_modules"));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS|NODE_TEST)/.test(name)));
  return { ...env, PATH: path.join(delimiter) };
}

test("the packed package installs into an empty folder and serves through npx", { timeout: 10 * 60_000 }, async (t) => {
  const dir = await temporaryDirectory("freehold-pack-");
  const env = strangersEnv();
  await runProcess("npm", ["pack", "--ignore-scripts=false", "--pack-destination", dir], {
    cwd: projectRoot,
    timeoutMs: INSTALL_DEADLINE_MS,
  });
  const [tarball] = (await readdir(dir)).filter((name) => name.endsWith(".tgz"));
  await writeFile(join(dir, "package.json"), '{"private":true}');
  await runProcess("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", `./${tarball}`], {
    cwd: dir,
    env,
    timeoutMs: INSTALL_DEADLINE_MS,
  });

  const first = await start(dir, env);
  t.after(() => first.kill());
  const { ready } = first;
  const answer = await fetch(`${ready.api}/user/tokens/verify`, { headers: { authorization: `Bearer ${ready.api_token}` } });
  assert.equal(answer.status, 200);
  const { stdout } = await runProcess("npx", ["--no-install", "freehold", "status", "--json"], { cwd: dir, env });
  const products = (JSON.parse(stdout) as { products: { name: string; ok: boolean }[] }).products;
  for (const { name, ok } of products) assert.equal(ok, true, name);
  const dash = get(`${ready.gateway}/sign-in`, { headers: { host: new URL(ready.hosts.dash as string).host } });
  const [page] = (await once(dash, "response")) as [IncomingMessage];
  assert.equal(page.statusCode, 200, "the dashboard comes built");
  page.resume();
  assert.doesNotMatch(first.printed(), /"level":"(warn|error)"/);

  // Each ends with the code of the one below it: npx, the launcher, the platform.
  process.kill(ready.pid, "SIGTERM");
  assert.deepEqual(await first.ended, [0, null]);

  // npx itself dies of SIGTERM with its shell; the platform must not outlive them, and drains.
  const second = await start(dir, env);
  t.after(() => second.kill());
  second.child.kill("SIGTERM");
  await second.ended;
  await second.closed;
  assert.equal(existsSync(join(dir, ".freehold", "ready.json")), false, "it ended in an orderly way");
  await runProcess("npx", ["--no-install", "freehold", "status"], { cwd: dir, env, code: 1 });
});

/** `npx freehold up`, ready. */
async function start(dir: string, env: NodeJS.ProcessEnv) {
  const readyFile = join(dir, "ready.json");
  const child = spawn("npx", ["--no-install", "freehold", "up", "--port", "0", "--ready-file", readyFile], {
    cwd: dir,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  const ended = once(child, "exit");
  // All that write to its output have ended: npx and everything that it started.
  const closed = once(child, "close", { signal: AbortSignal.timeout(INSTALL_DEADLINE_MS) });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = (): void => {
    if (existsSync(readyFile)) resolve();
  };
  const watcher = watch(dir, look);
  const timer = setTimeout(() => reject(new Error(`not ready in time:\n${output}`)), READY_DEADLINE_MS);
  ended.then(([code]) => reject(new Error(`ended with ${code} before it was ready:\n${output}`)), reject);
  look();
  try {
    await promise;
  } finally {
    watcher.close();
    clearTimeout(timer);
  }
  const ready = JSON.parse(await readFile(readyFile, "utf8")) as Ready;
  const kill = (): void => {
    try {
      process.kill(ready.pid, "SIGKILL");
    } catch {
      // It has ended, as it should.
    }
  };
  return { child, ready, ended, closed, printed: () => output, kill };
}
