/**
 * Tools that run Workers on the developer's machine, under `freehold exec` as a developer there has them at hand: they are
 * not ours, but nothing that we set may disturb them. None reaches a network beyond this machine.
 */
import assert from "node:assert/strict";
import { cp, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { clientProject, missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { openTerminal } from "../../harness/terminal.ts";

const noFrameworks = missingClient("frameworks");
const noVitest = missingClient("vitest-3");
const noAgents = missingClient("agents-0.7");
const platform = await startPlatform({ after });
const counter = join(import.meta.dirname, "fixtures", "counter");
const local = join(import.meta.dirname, "fixtures", "local");

/** The last line that a program prints is its result. */
const printed = (stdout: string): unknown => JSON.parse(stdout.trimEnd().split("\n").at(-1) as string);

test("[workers-56, durable-objects-56, workflows-39] tests of a Worker, its Durable Objects and its Workflows run green in the Vitest pool", {
  skip: noVitest,
}, async (t) => {
  const cwd = await clientProject(t, "vitest-3");
  await cp(counter, cwd, { recursive: true });
  const { stdout } = await platform.exec(join(cwd, "../node_modules/.bin/vitest"), ["run"], { cwd });
  assert.match(stdout, /Tests +11 passed \(11\)/);
});

test("[agents-77] tests of an agent run green in the Vitest pool, and wrangler dev runs it", { skip: noVitest || noAgents }, async (t) => {
  const [cwd, agents] = [await clientProject(t, "vitest-3"), await clientProject(t, "agents-0.7")];
  await cp(join(import.meta.dirname, "..", "agents", "fixtures", "tested"), cwd, { recursive: true });
  await mkdir(join(cwd, "node_modules"));
  await symlink(join(agents, "../node_modules/agents"), join(cwd, "node_modules/agents"));
  const { stdout } = await platform.exec(join(cwd, "../node_modules/.bin/vitest"), ["run"], { cwd });
  assert.match(stdout, /Tests +3 passed \(3\)/);

  const dev = ["wrangler", "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"];
  const [, port] = await openTerminal(t, platform, dev, { cwd }).expect(/Ready on http:\/\/\S+:(\d+)/);
  const answer = await fetch(`http://127.0.0.1:${port}/agents/my-agent/local`);
  assert.deepEqual(await answer.json(), { hello: "from your agent", count: 0 });
});

test("[workers-56] the documentation's test with Miniflare is green", { skip: noVitest }, async (t) => {
  const cwd = await clientProject(t, "vitest-3");
  await cp(join(local, "miniflare.test.mjs"), join(cwd, "miniflare.test.mjs"));
  const { stdout } = await platform.exec(process.execPath, ["--test", "--test-reporter=tap"], { cwd });
  assert.match(stdout, /^# pass 1$/m);
});

test("[workers-56] getPlatformProxy lends a program the bindings, and startWorker its Worker", { skip: noFrameworks }, async (t) => {
  const cwd = await clientProject(t, "frameworks");
  await cp(counter, cwd, { recursive: true });
  await cp(join(local, "wrangler-api.mjs"), join(cwd, "wrangler-api.mjs"));
  const { stdout } = await platform.exec(process.execPath, ["wrangler-api.mjs"], { cwd });
  assert.deepEqual(printed(stdout), {
    proxy: { greeting: "hello", kv: "value", r2: "object", d1: 2, colo: "string", cached: null },
    started: { count: 1, missing: 404 },
  });
});
