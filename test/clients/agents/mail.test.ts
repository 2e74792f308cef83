/** Agents that get mail by SMTP: each its own, with replies, forwards, refusals, and replies that are signed. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import { after, test } from "node:test";
import PostalMime from "postal-mime";
import type { Records } from "../../harness/dns-server.ts";
import { missingClient } from "../../harness/npm-client.ts";
import { bring, type Mail, mailPlatform } from "../email-world.ts";
import { type Any, deployAgents } from "./agents.ts";

const noAgents = missingClient("agents-0.7");
const SENDER = "ann@sender.example";
const dns = new Map<string, Records>([
  ["sender.example", { TXT: ["v=spf1 ip4:127.0.0.1 -all"], MX: ["mx.sender.example"] }],
  ["_dmarc.sender.example", { TXT: ["v=DMARC1; p=reject"] }],
  ["mx.sender.example", { A: ["127.0.0.1"] }],
  ["inbox.example", { MX: ["mx.sender.example"] }],
]);
const { sink, port, platform } = await mailPlatform({ after }, dns);
const sdk = platform.sdk();
const account_id = platform.ready.account_id;
const { id: zone_id } = await sdk.zones.create({ account: { id: account_id }, name: "shop.example" });
await sdk.emailRouting.enable({ zone_id });
await platform.rest("PATCH", `/zones/${zone_id}/email/routing`, { support_subaddress: true });
const address = await sdk.emailRouting.addresses.create({ account_id, email: "me@inbox.example" });
await sdk.emailRouting.addresses.edit(address.id as string, { account_id, status: "verified" });
const worker = noAgents
  ? (undefined as never)
  : await deployAgents({ after }, platform, "agents-0.7", join(import.meta.dirname, "fixtures", "mail"));

const send = (to: string, subject: string, more: Partial<Mail> = {}) => bring(port, { from: SENDER, to, subject, ...more });
const agent = (path: string): Promise<{ mails: Any[]; answers: string[] }> => worker.json(`/agents/${path}`);
const subjects = async (path: string): Promise<string[]> => (await agent(path)).mails.map(({ subject }) => subject);
/** What came to an address, the last one first. */
const arrived = (to: string): Promise<Any[]> =>
  Promise.all(
    sink.mails
      .filter((mail) => mail.to === to)
      .reverse()
      .map(({ raw }) => PostalMime.parse(raw)),
  );
const header = (mail: Any, name: string): string => mail.headers.find(({ key }: Any) => key === name)?.value;

test("[agents-64] mail by SMTP comes to the agent that its address names, whole", { skip: noAgents }, async () => {
  assert.equal((await send("support@shop.example", "first", { text: "Where is it?" })).code, 250);
  assert.equal((await send("sales@shop.example", "second")).code, 250);
  assert.equal((await send("NoticeAgent+user123@shop.example", "third")).code, 250);
  assert.equal((await send("notice-agent+user123@shop.example", "fourth")).code, 250);
  assert.equal((await send("all@shop.example", "fifth")).code, 250);
  const [mail] = (await agent("mail-agent/support")).mails;
  const { size, ...rest } = mail;
  const expected = { from: SENDER, to: "support@shop.example", subject: "first", text: "Where is it?", header: "first", context: SENDER };
  assert.deepEqual(rest, expected);
  assert.ok(size > 100 && size < 1500);
  assert.deepEqual(await subjects("mail-agent/support"), ["first"]);
  assert.deepEqual(await subjects("mail-agent/sales"), ["second"]);
  assert.deepEqual(await subjects("notice-agent/user123"), ["third", "fourth"]);
  assert.deepEqual(await subjects("mail-agent/user123"), []);
  assert.deepEqual(await subjects("mail-agent/catcher"), ["fifth"]);
  const { code, text } = await send("nobody@shop.example", "lost");
  assert.deepEqual([code, text.includes("Unknown recipient")], [550, true]);
});

test("[agents-65] an agent replies in the thread, forwards, refuses, and does not answer what answers by itself", {
  skip: noAgents,
}, async () => {
  assert.equal((await send("desk@shop.example", "question", { headers: { "Message-ID": "<q1@sender.example>" } })).code, 250);
  assert.deepEqual((await agent("mail-agent/desk")).answers, ["sent"]);
  const [reply] = await arrived(SENDER);
  assert.deepEqual(
    [reply.inReplyTo, reply.subject, reply.from],
    ["<q1@sender.example>", "Re: question", { address: "desk@shop.example", name: "Support Bot" }],
  );
  assert.match(reply.text, /Thanks, desk will look at it/);
  assert.equal(header(reply, "x-custom-header"), "value");

  assert.equal((await send("desk@shop.example", "forward this")).code, 250);
  assert.equal((await arrived("me@inbox.example"))[0].subject, "forward this");
  const { code, text } = await send("desk@shop.example", "spam");
  assert.deepEqual([code, text.includes("Message rejected as spam")], [550, true]);

  const before = sink.mails.length;
  for (const headers of [{ "Auto-Submitted": "auto-replied" }, { Precedence: "bulk" }, { "X-Auto-Response-Suppress": "All" }])
    assert.equal((await send("desk@shop.example", "question of a machine", { headers: headers as Record<string, string> })).code, 250);
  assert.equal((await subjects("mail-agent/desk")).filter((subject) => subject.includes("machine")).length, 3);
  assert.equal(sink.mails.length, before, "nobody got an answer");
});

test("[agents-66] a reply's signature leads the next mail to the same agent; a forged or old one is refused with its reason", {
  skip: noAgents,
}, async () => {
  assert.equal((await send("secure@shop.example", "question")).code, 250);
  const [reply] = await arrived(SENDER);
  const signature = Object.fromEntries(
    ["X-Agent-Name", "X-Agent-ID", "X-Agent-Sig", "X-Agent-Sig-Ts"].map((name) => [name, header(reply, name.toLowerCase())]),
  );
  assert.deepEqual([signature["X-Agent-Name"], signature["X-Agent-ID"]], ["mail-agent", "secure"]);
  // The address is another one's: the signature leads.
  const back = (subject: string, headers: Record<string, string>) =>
    send("elsewhere@shop.example", subject, { headers: { ...(signature as Record<string, string>), ...headers } });
  assert.equal((await back("more, careless", {})).code, 250);
  assert.equal((await back("more, open", {})).code, 250);
  const { answers } = await agent("mail-agent/secure");
  assert.match(answers[1] as string, /must pass a secret to replyToEmail\(\)/);
  assert.deepEqual([answers[0], answers[2]], ["sent", "sent"]);
  assert.equal(header((await arrived(SENDER))[0], "x-agent-sig"), undefined);

  const refusal = async (headers: Record<string, string>): Promise<string> => {
    const { code, text } = await back("forged", headers);
    assert.equal(code, 550);
    return /Signature: (\w+)/.exec(text)?.[1] as string;
  };
  const hourAgo = String(Math.floor(Date.now() / 1000) - 3700);
  const old = createHmac("sha256", "keep me").update(`mail-agent:secure:${hourAgo}`).digest("base64");
  assert.equal(await refusal({ "X-Agent-ID": "support" }), "invalid");
  assert.equal(
    await refusal({ "X-Agent-Sig": `A${signature["X-Agent-Sig"]?.slice(1)}` === signature["X-Agent-Sig"] ? "B" : "A" }),
    "invalid",
  );
  assert.equal(await refusal({ "X-Agent-Sig-Ts": hourAgo, "X-Agent-Sig": old }), "expired");
  assert.equal(await refusal({ "X-Agent-Sig-Ts": "soon" }), "malformed_timestamp");
  assert.equal(await refusal({ "X-Agent-Sig-Ts": "" }), "missing_headers");
  assert.deepEqual(await subjects("mail-agent/elsewhere"), []);
  assert.deepEqual(await subjects("mail-agent/secure"), ["question", "more, careless", "more, open"]);
});
