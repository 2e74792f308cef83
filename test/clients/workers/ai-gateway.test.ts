/** `env.AI.gateway()` in a Worker that wrangler deploys. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startModelProvider } from "../../harness/model-provider.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const provider = await startModelProvider({ after });
const platform = await startPlatform({ after }, { config: { "ai_gateway.providers": [`openai=${provider.url}/v1`] } });
const account = platform.ready.account_id;
await platform.rest("POST", `/accounts/${account}/ai-gateway/gateways`, {
  id: "of-worker",
  cache_invalidate_on_update: false,
  cache_ttl: 0,
  collect_logs: true,
  rate_limiting_interval: 0,
  rate_limiting_limit: 0,
  authentication: true,
});

const source = `
const thrown = async (work) => { try { await work(); return null; } catch (e) { return e.name + ": " + e.message; } };
const step = (model) => ({ provider: "openai", endpoint: "chat/completions", headers: { authorization: "Bearer sk" },
  query: { model, messages: [{ role: "user", content: "from a Worker" }] } });
export default { async fetch(request, env) {
  const gateway = env.AI.gateway("of-worker");
  const one = await gateway.run(step("gpt-4o"), { gateway: { metadata: { who: "me" }, eventId: "e-1" } });
  const logId = one.headers.get("cf-aig-log-id");
  const many = await gateway.run([step("fails"), step("gpt-4o")]);
  const log = await gateway.getLog(logId);
  await gateway.patchLog(logId, { feedback: 1, score: 90, metadata: { changed: "yes" } });
  const patched = await gateway.getLog(logId);
  return Response.json({
    one: (await one.json()).choices[0].message.content,
    event: one.headers.get("cf-aig-event-id"),
    step: many.headers.get("cf-aig-step"),
    urls: [await gateway.getUrl(), await gateway.getUrl("openai")],
    log: [log.provider, log.model, log.success, log.metadata, log.created_at instanceof Date],
    patched: [patched.feedback, patched.score, patched.metadata],
    missing: await thrown(() => gateway.getLog("nothing")),
    nowhere: (await env.AI.gateway("nowhere").run(step("gpt-4o"))).status,
    model: await thrown(() => env.AI.run("@cf/meta/llama-3.1-8b-instruct", { prompt: "x" })),
  });
} };`;

test("[ai-gateway-27] a Worker's binding runs requests, gives URLs, reads and changes logs, without a token of its own", async () => {
  const project = await deployWorker(platform, { files: { "index.js": source }, config: { name: "aig", ai: { binding: "AI" } } });
  const response = await platform.fetch(project.url);
  assert.equal(response.status, 200, await response.clone().text());
  const base = platform.host("ai_gateway", { gateway: "of-worker" });
  assert.deepEqual(await response.json(), {
    one: "echo from a Worker",
    event: "e-1",
    step: "1",
    urls: [`${base}/`, `${base}/openai`],
    log: ["openai", "gpt-4o", true, '{"who":"me"}', true],
    patched: [1, 90, '{"changed":"yes"}'],
    missing: "AiGatewayLogNotFound: Log Not Found",
    nowhere: 400,
    model:
      "InferenceUpstreamError: 5018: Nothing runs the model @cf/meta/llama-3.1-8b-instruct here: name what does in the setting workers_ai.models",
  });
  assert.equal(provider.seen[0]?.headers.authorization, "Bearer sk");
});
