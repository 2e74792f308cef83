/**
 * Goal: what an instance has indexed, and what was uploaded to it, survives SIGKILL; indexing goes on by itself, also by its
 * schedule. Method: an instance over a bucket and one with uploads; the platform is killed when uploads are acknowledged and
 * not all indexed yet. Jobs are scheduled every two seconds instead of every six hours.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FormData } from "undici";
import { searchWorld } from "../clients/ai-search-world.ts";

const world = await searchWorld({ after }, { "ai_search.sync_interval_s": 2 });
const { platform, account_id, sdk } = world;
const path = `/client/v4/accounts/${account_id}/ai-search/instances/notes/items`;

async function upload(name: string, text: string): Promise<string> {
  const form = new FormData();
  form.set("file", new Blob([text]), name);
  const response = await platform.fetch(path, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
    body: form,
  });
  const { result } = (await response.json()) as { result: { id: string; status: string } };
  assert.equal(response.status, 200);
  return result.id;
}

test("[ai-search-12] what is indexed and uploaded survives SIGKILL, and new files come in by the schedule", {
  timeout: 120_000,
}, async () => {
  const source = await world.bucket("lake", { "a.md": "a heron in the reeds" });
  await world.instance("lake", { type: "r2", source });
  await sdk.aiSearch.instances.create({ account_id, id: "notes" });
  assert.equal((await sdk.aiSearch.instances.read("lake", { account_id })).sync_interval, 2);
  const names = Array.from({ length: 12 }, (_, n) => `${"abcdefghijkl"[n]}.md`);
  // Acknowledged one after the other, with some indexed and some not when the end comes.
  for (const name of names) await upload(name, `note of subject${name[0]}${name[0]} here`);
  await platform.kill9();
  await platform.restart();
  assert.deepEqual(await world.found("lake", "heron in the reeds"), ["a.md"]);
  await world.ready("notes");
  for (const name of names) assert.equal((await world.found("notes", `subject${name[0]}${name[0]}`))[0], name);

  await world.put(source, "b.md", "a bittern booms");
  // The schedule's next job brings it; each look asks the platform.
  const strict = { ranking_options: { score_threshold: 0.7 } };
  await world.until(async () => (await world.found("lake", "bittern booms", strict)).length > 0);
  const jobs = (await sdk.aiSearch.instances.jobs.list("lake", { account_id })).result;
  assert.ok(jobs.length > 1 && jobs.every((job) => job.source === "schedule"));
});
