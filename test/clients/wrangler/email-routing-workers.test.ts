/** Email Workers: deployed by wrangler, reached by SMTP, answering to a mail server of somebody else. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { promisify } from "node:util";
import PostalMime from "postal-mime";
import type { Records } from "../../harness/dns-server.ts";
import { openTerminal } from "../../harness/terminal.ts";
import { deployWorker, workerProject } from "../../harness/worker-project.ts";
import { bring, mailPlatform } from "../email-world.ts";

const dns = new Map<string, Records>([
  ["sender.example", { TXT: ["v=spf1 ip4:127.0.0.1 -all"], MX: ["mx.inbox.example"] }],
  ["_dmarc.sender.example", { TXT: ["v=DMARC1; p=reject"] }],
  // Authentic by SPF, but without a policy.
  ["plain.example", { TXT: ["v=spf1 ip4:127.0.0.1 -all"], MX: ["mx.inbox.example"] }],
  ["inbox.example", { MX: ["mx.inbox.example"] }],
  ["mx.inbox.example", { A: ["127.0.0.1"] }],
]);
const { sink, port, platform } = await mailPlatform({ after }, dns);
const sdk = platform.sdk();
const account_id = platform.ready.account_id;
const { id: zone_id } = await sdk.zones.create({ account: { id: account_id }, name: "shop.example" });
await sdk.emailRouting.enable({ zone_id });
const SENDER = "ann@sender.example";

const send = (to: string, more: Partial<Parameters<typeof bring>[1]> = {}) => bring(port, { from: SENDER, to, subject: "Hi", ...more });
const delivered = (to: string) => sink.mails.filter((mail) => mail.to === to);
async function verified(email: string): Promise<void> {
  const { id } = await sdk.emailRouting.addresses.create({ account_id, email });
  await sdk.emailRouting.addresses.edit(id as string, { account_id, status: "verified" });
}
const routeTo = (address: string, worker: string) =>
  sdk.emailRouting.rules.create({
    zone_id,
    matchers: [{ type: "literal", field: "to", value: address }],
    actions: [{ type: "worker", value: [worker] }],
  });
await verified("me@inbox.example");

test("[email-routing-02, email-routing-04, email-routing-05] a Worker parses a message and forwards it, to verified addresses and with X- headers alone", async () => {
  await deployWorker(platform, {
    files: {
      "index.js": `import PostalMime from "postal-mime";
export default {
  async email(message, env, ctx) {
    const parsed = await PostalMime.parse(message.raw);
    const seen = [message.from, message.to, message.rawSize, message.headers.get("subject"), message.headers.get("x-own"), parsed.text.trim(), typeof ctx.waitUntil];
    const attempt = async (work) => { try { return await work(); } catch (error) { return error.message; } };
    const refused = [await attempt(() => message.forward("stranger@inbox.example")), await attempt(() => message.forward("me@inbox.example", new Headers({ Subject: "no" })))];
    const { messageId } = await message.forward("me@inbox.example", new Headers({ "X-Test": "added", "X-Seen": JSON.stringify([seen, refused]) }));
    if (messageId !== message.headers.get("message-id")) throw new Error("no message id");
  },
};`,
    },
    config: { name: "parser", alias: { "postal-mime": createRequire(import.meta.url).resolve("postal-mime") } },
  });
  await routeTo("parse@shop.example", "parser");
  assert.equal((await send("parse@shop.example", { text: "to parse", headers: { "X-Own": "mine" } })).code, 250);
  const [mail] = delivered("me@inbox.example").slice(-1);
  const parsed = await PostalMime.parse(mail?.raw as Buffer);
  const header = (name: string) => parsed.headers.find(({ key }) => key === name)?.value;
  assert.deepEqual([header("x-test"), parsed.subject, parsed.from?.address], ["added", "Hi", SENDER]);
  const [seen, refused] = JSON.parse(header("x-seen") as string);
  assert.ok(seen[2] > 100 && seen[2] < 1000);
  assert.deepEqual(seen.toSpliced(2, 1), [SENDER, "parse@shop.example", "Hi", "mine", "to parse", "function"]);
  assert.match(refused[0], /not verified/);
  assert.match(refused[1], /only X-\* headers/);
  assert.equal(delivered("stranger@inbox.example").length, 0);
});

test("[email-routing-03] the allowlist template refuses an unknown sender in the session", async () => {
  await deployWorker(platform, {
    files: {
      "index.js": `export default {
  async email(message, env, ctx) {
    const allowList = ["friend@sender.example", "coworker@sender.example"];
    if (allowList.indexOf(message.from) == -1) message.setReject("Address not allowed");
    else await message.forward("me@inbox.example");
  }
}`,
    },
    config: { name: "allowlist" },
  });
  await routeTo("friends@shop.example", "allowlist");
  const before = delivered("me@inbox.example").length;
  const { code, text } = await send("friends@shop.example");
  assert.deepEqual([code, text.includes("Address not allowed")], [550, true]);
  assert.equal(delivered("me@inbox.example").length, before);
  assert.equal((await send("friends@shop.example", { from: "friend@sender.example" })).code, 250);
  assert.equal(delivered("me@inbox.example").length, before + 1);
});

test("[email-routing-06, email-routing-07] one reply in the thread, and the guards before it", async () => {
  await deployWorker(platform, {
    files: {
      "index.js": `import { EmailMessage } from "cloudflare:email";
import { createMimeMessage } from "mimetext";
let last;
export default {
  async fetch() { return Response.json(last); },
  async email(message, env, ctx) {
    last = [];
    const answer = (to, from = "tickets@shop.example") => {
      const msg = createMimeMessage();
      msg.setHeader("In-Reply-To", message.headers.get("Message-ID"));
      msg.setSender({ name: "Thank you for your contact", addr: from });
      msg.setRecipient(to);
      msg.setSubject("Email Routing Auto-reply");
      msg.addMessage({ contentType: "text/plain", data: "We got your message" });
      return new EmailMessage(from, to, msg.asRaw());
    };
    for (const reply of [() => answer("other@sender.example"), () => answer(message.from, "x@elsewhere.example"), () => answer(message.from), () => answer(message.from)].slice(Number(message.headers.get("x-skip") ?? 0))) {
      try { last.push((await message.reply(reply())).messageId); } catch (error) { last.push(error.message); }
    }
  },
};`,
    },
    config: {
      name: "replier",
      compatibility_flags: ["nodejs_compat"],
      alias: { mimetext: createRequire(import.meta.url).resolve("mimetext") },
    },
  }).then(async (project) => {
    await routeTo("tickets@shop.example", "replier");
    const ask = async (more: Partial<Parameters<typeof bring>[1]>): Promise<string[]> => {
      assert.equal((await send("tickets@shop.example", more)).code, 250);
      return (await (await platform.fetch(project.url)).json()) as string[];
    };
    // Each attempt is the event's one reply, so the good ones stand first here.
    const [messageId, second] = (await ask({ headers: { "X-Skip": "2" } })) as [string, string];
    assert.match(second, /replied to already/);
    const [mail] = delivered(SENDER);
    const reply = await PostalMime.parse(mail?.raw as Buffer);
    assert.deepEqual([mail?.from, reply.from?.address, reply.messageId], ["tickets@shop.example", "tickets@shop.example", messageId]);
    assert.ok(reply.inReplyTo);
    assert.equal(reply.references, reply.inReplyTo);

    assert.match((await ask({}))[0] as string, /does not match the original sender/);
    assert.match((await ask({ headers: { "X-Skip": "1" } }))[0] as string, /not in the domain/);
    const many = Array.from({ length: 101 }, (_, i) => `<${i}@sender.example>`).join(" ");
    assert.match((await ask({ headers: { "X-Skip": "2" }, references: many }))[0] as string, /not replyable.*References/);
    assert.match((await ask({ headers: { "X-Skip": "2" }, from: "bob@plain.example" }))[0] as string, /not replyable/);
    assert.match((await ask({ headers: { "X-Skip": "2", "Auto-Submitted": "auto-replied" } }))[0] as string, /not replyable/);
    assert.equal(delivered(SENDER).length, 1);
    assert.equal(delivered("bob@plain.example").length, 0);
  });
});

test("[email-routing-08] the four kinds of send bindings deliver what they allow", async () => {
  await verified("two@inbox.example");
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { EmailMessage } from "cloudflare:email";
export default { async fetch(request, env) {
  const { binding, from, to } = await request.json();
  const raw = "From: <" + from + ">\\r\\nTo: <" + to + ">\\r\\nMessage-ID: <" + crypto.randomUUID() + "@shop.example>\\r\\nSubject: sent\\r\\n\\r\\nText\\r\\n";
  try { await env[binding].send(new EmailMessage(from, to, raw)); return new Response("sent"); } catch (error) { return new Response(error.message); }
} };`,
    },
    config: {
      name: "sender",
      send_email: [
        { name: "ANY" },
        { name: "ONE", destination_address: "me@inbox.example" },
        { name: "LIST", allowed_destination_addresses: ["me@inbox.example", "two@inbox.example"] },
        { name: "FROM", allowed_sender_addresses: ["shop@shop.example"] },
      ],
    },
  });
  const from = "shop@shop.example";
  for (const [binding, to, sender, answer] of [
    ["ANY", "two@inbox.example", from, "sent"],
    ["ANY", "stranger@inbox.example", from, "email to stranger@inbox.example not allowed"],
    ["ANY", "two@inbox.example", "shop@elsewhere.example", "email from shop@elsewhere.example not allowed"],
    ["ONE", "me@inbox.example", from, "sent"],
    ["ONE", "two@inbox.example", from, "email to two@inbox.example not allowed"],
    ["LIST", "two@inbox.example", from, "sent"],
    ["LIST", "stranger@inbox.example", from, "email to stranger@inbox.example not allowed"],
    ["FROM", "me@inbox.example", from, "sent"],
    ["FROM", "me@inbox.example", "other@shop.example", "email from other@shop.example not allowed"],
  ] as const) {
    const before = delivered(to).length;
    const response = await platform.fetch(project.url, { method: "POST", body: JSON.stringify({ binding, from: sender, to }) });
    assert.equal(await response.text(), answer, `${binding} ${sender} ${to}`);
    assert.equal(delivered(to).length, before + Number(answer === "sent"));
  }
});

test("[email-routing-14] rules by wrangler and the SDK: create, list, get, update, delete", async () => {
  const run = async (...args: string[]) => (await platform.wrangler(["email", "routing", ...args])).stdout;
  assert.match(await run("list"), /shop\.example.*yes/);
  assert.match(await run("settings", "shop.example"), /ready/);
  const created = await run(
    "rules",
    "create",
    "shop.example",
    "--name",
    "by wrangler",
    "--match-type",
    "literal",
    "--match-field",
    "to",
    "--match-value",
    "cli@shop.example",
    "--action-type",
    "forward",
    "--action-value",
    "me@inbox.example",
  );
  const id = /[0-9a-f]{32}/.exec(created)?.[0] as string;
  assert.match(await run("rules", "list", "shop.example"), /cli@shop\.example/);
  assert.match(await run("rules", "get", "shop.example", id), /by wrangler/);
  const rule = await sdk.emailRouting.rules.update(id, {
    zone_id,
    enabled: false,
    matchers: [{ type: "literal", field: "to", value: "cli@shop.example" }],
    actions: [{ type: "drop" }],
  });
  assert.deepEqual([rule.enabled, rule.actions], [false, [{ type: "drop" }]]);
  assert.equal((await send("cli@shop.example")).code, 550);
  await run("rules", "delete", "shop.example", id, "--force");
  await assert.rejects(sdk.emailRouting.rules.get(id, { zone_id }), /404/);
  await run("rules", "update", "shop.example", "catch-all", "--action-type", "forward", "--action-value", "me@inbox.example", "--enabled");
  assert.equal((await send("whoever@shop.example")).code, 250);
  await run("rules", "update", "shop.example", "catch-all", "--action-type", "drop", "--no-enabled");
  assert.match(await run("addresses", "list"), /me@inbox\.example/);
  assert.match(await run("dns", "get", "shop.example"), /MX record/);

  for (const [body, text] of [
    [
      { matchers: [{ type: "literal", field: "to", value: "a@other.example" }], actions: [{ type: "drop" }] },
      /no address of shop\.example/,
    ],
    [
      { matchers: [{ type: "literal", field: "to", value: "a@shop.example" }], actions: [{ type: "worker", value: ["nobody"] }] },
      /not found/,
    ],
    [{ matchers: [{ type: "all" }], actions: [{ type: "drop" }] }, /catch-all/],
    [
      { matchers: [{ type: "literal", field: "to", value: "a@shop.example" }], actions: [{ type: "forward", value: ["x"] }] },
      /no e-mail address/,
    ],
  ] as const) {
    const answer = await platform.rest("POST", `/zones/${zone_id}/email/routing/rules`, body);
    assert.equal(answer.body.success, false);
    assert.match(answer.body.errors[0]?.message ?? "", text);
  }
  const stranger = await platform.token(["Email Routing Addresses Write"]);
  assert.equal((await platform.rest("GET", `/zones/${zone_id}/email/routing/rules`, undefined, stranger.value)).status, 403);
});

test("[email-routing-36] `addresses` of wrangler's configuration become rules, and a conflict stops a deploy without a terminal", async () => {
  const worker = (text: string) => `export default { async email(message) { message.setReject("${text}"); } };`;
  const project = await workerProject(platform, {
    files: { "index.js": worker("one") },
    config: { name: "addressed", addresses: ["sales@shop.example", "*@shop.example"] },
  });
  await project.deploy();
  assert.match((await send("sales@shop.example")).text, /one/);
  assert.match((await send("anything@shop.example")).text, /one/);
  assert.match((await project.wrangler(["deploy"])).stdout, /up to date/);

  const other = await workerProject(platform, {
    files: { "index.js": worker("two") },
    config: { name: "rival", addresses: ["sales@shop.example"] },
  });
  const refused = await other.wrangler(["deploy"], { code: 1 });
  assert.match(refused.stdout + refused.stderr, /owned by worker "addressed"/);
  assert.match((await send("sales@shop.example")).text, /one/);
});

test("[email-routing-37] what became of mail is counted, with its authentication", async () => {
  const query = `{ viewer { accounts(filter: { accountTag: "${account_id}" }) {
    groups: emailRoutingAdaptiveGroups(limit: 100, filter: { datetime_geq: "2020-01-01T00:00:00Z", datetime_leq: "2100-01-01T00:00:00Z" }, orderBy: [count_DESC]) { count dimensions { action status } }
    mails: emailRoutingAdaptive(limit: 100, filter: { datetime_geq: "2020-01-01T00:00:00Z", datetime_leq: "2100-01-01T00:00:00Z", to: "parse@shop.example", zoneTag: "${zone_id}" }) { from to subject status spf dkim dmarc }
  } } }`;
  const answer = await platform.rest("POST", "/graphql", { query });
  const { data, errors } = answer.body as unknown as {
    data: { viewer: { accounts: { groups: unknown[]; mails: unknown[] }[] } };
    errors: unknown;
  };
  assert.equal(errors, null);
  const [account] = data.viewer.accounts;
  assert.deepEqual(account?.mails, [
    { from: SENDER, to: "parse@shop.example", subject: "Hi", status: "forwarded", spf: "pass", dkim: "none", dmarc: "pass" },
  ]);
  const groups = account?.groups as { count: number; dimensions: { action: string; status: string } }[];
  const counts = new Map(groups.map(({ count, dimensions }) => [`${dimensions.action} ${dimensions.status}`, count]));
  assert.equal(counts.get("worker forwarded"), 2);
  assert.ok((counts.get("worker rejected") ?? 0) >= 4);
});

test("[email-routing-32] 200 rules of a zone and 200 addresses, and no more", async () => {
  const rules = (await platform.rest("GET", `/zones/${zone_id}/email/routing/rules?per_page=50`)).body.result_info as {
    total_count: number;
  };
  const rule = (i: number) => ({ matchers: [{ type: "literal", field: "to", value: `n${i}@shop.example` }], actions: [{ type: "drop" }] });
  for (let i = rules.total_count; i < 200; i++)
    assert.equal((await platform.rest("POST", `/zones/${zone_id}/email/routing/rules`, rule(i))).status, 200);
  const oneMore = await platform.rest("POST", `/zones/${zone_id}/email/routing/rules`, rule(200));
  assert.match(oneMore.body.errors[0]?.message ?? "", /200 rules/);
  const addresses = (await platform.rest("GET", `/accounts/${account_id}/email/routing/addresses`)).body.result_info as {
    total_count: number;
  };
  const add = (i: number) => platform.rest("POST", `/accounts/${account_id}/email/routing/addresses`, { email: `n${i}@inbox.example` });
  for (let i = addresses.total_count; i < 200; i++) assert.equal((await add(i)).status, 200);
  assert.match((await add(200)).body.errors[0]?.message ?? "", /200 destination addresses/);
});

/** As the page prints it; its rendering has lost the address in angle brackets, which the printed result shows. */
const CURLED = `Received: from smtp.example.com (127.0.0.1)
        by cloudflare-email.com (unknown) id 4fwwffRXOpyR
        for <recipient@example.com>; Tue, 27 Aug 2024 15:50:20 +0000
From: "John" <sender@example.com>
Reply-To: sender@example.com
To: recipient@example.com
Subject: Testing Email Workers Local Dev
Content-Type: text/html; charset="windows-1252"
X-Mailer: Curl
Date: Tue, 27 Aug 2024 08:49:44 -0700
Message-ID: <6114391943504294873000@ZSH-GHOSTTY>

Hi there`;

test("[email-routing-13] wrangler dev takes a message at /cdn-cgi/handler/email, by the documentation's curl", async (t) => {
  const project = await workerProject(platform, {
    files: {
      "index.js": `import * as PostalMime from "postal-mime";
export default {
  async email(message, env, ctx) {
    const parser = new PostalMime.default();
    const rawEmail = new Response(message.raw);
    const email = await parser.parse(await rawEmail.arrayBuffer());
    console.log(email);
    console.log("as JSON " + JSON.stringify(email));
  },
};`,
    },
    config: {
      name: "local",
      send_email: [{ name: "EMAIL" }],
      alias: { "postal-mime": createRequire(import.meta.url).resolve("postal-mime") },
    },
  });
  const options = ["--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"];
  const terminal = openTerminal(t, platform, ["wrangler", "dev", ...options], { cwd: project.dir });
  const [, local] = await terminal.expect(/Ready on http:\/\/\S+:(\d+)/);
  const { stdout } = await promisify(execFile)("curl", [
    ...["--silent", "--show-error", "--fail", "--noproxy", "*", "--request", "POST", `http://127.0.0.1:${local}/cdn-cgi/handler/email`],
    ...["--url-query", "from=sender@example.com", "--url-query", "to=recipient@example.com"],
    ...["--header", "Content-Type: application/json", "--data-raw", CURLED],
  ]);
  assert.match(stdout, /Worker successfully processed email/);
  await terminal.expect("subject: 'Testing Email Workers Local Dev'");
  const [, printed] = await terminal.expect(/as JSON ([\s\S]*?\})(?=\s*\n)/);
  const {
    headers,
    headerLines: _,
    ...rest
  } = JSON.parse(printed as string) as { headers: { key: string; value: string }[]; headerLines: unknown };
  assert.deepEqual(
    headers.map(({ key, value }) => [key, value.replace(/\s+/g, " ")]),
    [
      [
        "received",
        "from smtp.example.com (127.0.0.1) by cloudflare-email.com (unknown) id 4fwwffRXOpyR for <recipient@example.com>; Tue, 27 Aug 2024 15:50:20 +0000",
      ],
      ["from", '"John" <sender@example.com>'],
      ["reply-to", "sender@example.com"],
      ["to", "recipient@example.com"],
      ["subject", "Testing Email Workers Local Dev"],
      ["content-type", 'text/html; charset="windows-1252"'],
      ["x-mailer", "Curl"],
      ["date", "Tue, 27 Aug 2024 08:49:44 -0700"],
      ["message-id", "<6114391943504294873000@ZSH-GHOSTTY>"],
    ],
  );
  assert.deepEqual(rest, {
    from: { address: "sender@example.com", name: "John" },
    to: [{ address: "recipient@example.com", name: "" }],
    replyTo: [{ address: "sender@example.com", name: "" }],
    subject: "Testing Email Workers Local Dev",
    messageId: "<6114391943504294873000@ZSH-GHOSTTY>",
    date: "2024-08-27T15:49:44.000Z",
    html: "Hi there\n",
    attachments: [],
  });
});
