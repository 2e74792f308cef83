/** The rate limit binding, deployed by wrangler. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

const files = {
  "index.js": `export default { async fetch(request, env) {
    const url = new URL(request.url), calls = Number(url.searchParams.get("calls")), key = url.searchParams.get("key").repeat(Number(url.searchParams.get("times") ?? 1));
    const results = [];
    try { for (let i = 0; i < calls; i++) results.push((await env.LIMITER.limit({ key })).success); }
    catch (error) { return Response.json({ error: error.message }); }
    return Response.json({ passed: results.filter(Boolean).length, last: results.at(-1) });
  } };`,
};
const limiter = (namespace: string, limit: number, period = 60) => ({
  ratelimits: [{ name: "LIMITER", namespace_id: namespace, simple: { limit, period } }],
});

async function calls(url: string, key: string, count: number): Promise<unknown> {
  return (await platform.fetch(`${url}/?key=${encodeURIComponent(key)}&calls=${count}`)).json();
}

test("[workers-27] the 101st call in 60 s fails; Workers with one namespace_id share the counter", async () => {
  const first = await deployWorker(platform, { files, config: { name: "limited", ...limiter("1001", 100) } });
  const second = await deployWorker(platform, { files, config: { name: "limited-too", ...limiter("1001", 100) } });
  const other = await deployWorker(platform, { files, config: { name: "limited-apart", ...limiter("1002", 100) } });
  assert.deepEqual(await calls(first.url, "/path", 60), { passed: 60, last: true });
  assert.deepEqual(await calls(second.url, "/path", 40), { passed: 40, last: true });
  assert.deepEqual(await calls(first.url, "/path", 1), { passed: 0, last: false });
  assert.deepEqual(await calls(second.url, "/path", 3), { passed: 0, last: false });
  assert.deepEqual(await calls(first.url, "/another", 101), { passed: 100, last: false });
  assert.deepEqual(await calls(other.url, "/path", 1), { passed: 1, last: true });
  const long = await platform.fetch(`${first.url}/?key=${encodeURIComponent("é")}&times=9000&calls=1`);
  assert.deepEqual(await long.json(), { error: "rate limit: the platform answered 413" });
});

test("a period that is neither 10 nor 60 is refused by name", async () => {
  const wrong = await workerProject(platform, { files, config: { name: "limited-wrongly", ...limiter("1003", 5, 30) } });
  const result = await wrong.wrangler(["deploy"], { code: 1 });
  assert.match(result.stdout + result.stderr, /period/);
});
