/**
 * A namespace with as many user Workers as FREEHOLD_TENANTS says (10,000 is what the documentation's customers have): a cold
 * one answers fast, also after a restart, and the platform's memory does not grow with their number.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { COMPATIBILITY_DATE } from "../../harness/worker-project.ts";

const count = Number(process.env.FREEHOLD_TENANTS ?? 0);
const AT_A_TIME = 4;
/** A start of a process, with room for a machine at work. */
const COLD_MS = 5_000;
const GROWTH_MAX_MB = 150;

test("thousands of user Workers: a cold one answers, and memory is bounded", {
  skip: count === 0 && "FREEHOLD_TENANTS is not set",
}, async (t) => {
  const platform = await startPlatform({ after });
  const client = platform.sdk();
  const account = { account_id: platform.ready.account_id };
  const { namespaces } = client.workersForPlatforms.dispatch;
  await namespaces.create({ ...account, name: "crowd" });
  const file = (code: string) => new File([code], "w.mjs", { type: "application/javascript+module" });
  const metadata = { main_module: "w.mjs", compatibility_date: COMPATIBILITY_DATE };
  await client.workers.scripts.update("dispatch", {
    ...account,
    metadata: { ...metadata, bindings: [{ type: "dispatch_namespace", name: "D", namespace: "crowd" }] },
    files: { "w.mjs": file("export default { fetch: (r, env) => env.D.get(new URL(r.url).pathname.slice(1)).fetch(r) };") } as never,
  });
  await client.workers.scripts.subdomain.create("dispatch", { ...account, enabled: true });
  const ask = async (i: number): Promise<number> => {
    const begun = performance.now();
    const answer = await platform.fetch(`${platform.host("workers", { worker: "dispatch", subdomain: "dev" })}/tenant-${i}`);
    assert.equal(await answer.text(), `I am ${i}`);
    return performance.now() - begun;
  };
  const memoryMb = async (): Promise<number> =>
    Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${platform.pid}/status`, "utf8"))?.[1]) / 1024;

  const atRest = await memoryMb();
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (let i = next++; i < count; i = next++)
        await namespaces.scripts.update(`tenant-${i}`, {
          ...account,
          dispatch_namespace: "crowd",
          metadata: { ...metadata, tags: [`customer-${i}`] },
          files: [file(`export default { fetch: () => new Response("I am ${i}") };`)],
        });
    }),
  );
  const full = await memoryMb();
  assert.equal((await namespaces.get("crowd", account)).script_count, count);
  await platform.stop();
  await platform.restart();
  const restarted = await memoryMb();
  const cold: number[] = [];
  for (let i = 0; i < 10; i++) cold.push(await ask(Math.floor((i * count) / 10)));
  t.diagnostic(
    `${count} Workers: ${Math.round(atRest)} MB before, ${Math.round(full)} MB after, ${Math.round(restarted)} MB restarted; cold ${cold.map(Math.round)} ms`,
  );
  assert(Math.max(...cold) < COLD_MS, String(cold));
  assert(restarted - atRest < GROWTH_MAX_MB, `${atRest} MB at rest, ${restarted} MB with ${count}`);
});
