/** Mail through the platform: brought by an SMTP client, forwarded to a server of somebody else, judged by DNS. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, test } from "node:test";
import { authenticate } from "mailauth";
import { createTransport } from "nodemailer";
import PostalMime from "postal-mime";
import type { Records } from "../../harness/dns-server.ts";
import { bring, type Delivered, mailPlatform } from "../email-world.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "der" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
const inbox: Records = { MX: ["mx.inbox.example"] };
const dns = new Map<string, Records>([
  ["sender.example", { TXT: ["v=spf1 ip4:127.0.0.1 -all"] }],
  ["client.sender.example", { A: ["127.0.0.1"] }],
  ["_dmarc.sender.example", { TXT: ["v=DMARC1; p=reject"] }],
  ["strict.example", { TXT: ["v=spf1 -all"] }],
  ["_dmarc.strict.example", { TXT: ["v=DMARC1; p=reject"] }],
  ["nobody.example", { A: ["192.0.2.1"] }],
  ["keyed.example", { A: ["192.0.2.1"] }],
  ["k1._domainkey.keyed.example", { TXT: [`v=DKIM1; k=rsa; p=${publicKey.toString("base64")}`] }],
  ["inbox.example", inbox],
  ["mx.inbox.example", { A: ["127.0.0.1"], AAAA: ["::1"] }],
  ["four.example", { MX: ["mx4.four.example"] }],
  ["mx4.four.example", { A: ["127.0.0.1"] }],
]);
const { sink, port, platform } = await mailPlatform({ after }, dns, {
  "email_routing.dnsbls": ["rbl.example"],
  "email_routing.hostname": "mail.platform.example",
});
const sdk = platform.sdk();
const account_id = platform.ready.account_id;
const zone = await sdk.zones.create({ account: { id: account_id }, name: "shop.example" });
const zone_id = zone.id;
const SENDER = "ann@sender.example";

const delivered = (to: string): Delivered[] => sink.mails.filter((mail) => mail.to === to);
const send = (to: string, more: Partial<Parameters<typeof bring>[1]> = {}) => bring(port, { from: SENDER, to, subject: "Hi", ...more });
const forwardRule = (from: string, to: string) =>
  sdk.emailRouting.rules.create({
    zone_id,
    matchers: [{ type: "literal", field: "to", value: from }],
    actions: [{ type: "forward", value: [to] }],
  });

/** Adds a destination and follows the link of its message. */
async function verified(email: string): Promise<string> {
  const { id } = await sdk.emailRouting.addresses.create({ account_id, email });
  await follow(email);
  return id as string;
}

async function follow(email: string): Promise<void> {
  const parsed = await PostalMime.parse(delivered(email).at(-1)?.raw as Buffer);
  const link = /https?:\S+verify\S+/.exec(parsed.text ?? "")?.[0] as string;
  assert.equal((await fetch(link)).status, 200);
}

test("[email-routing-20] a zone gets its records, locked, and says what is wrong with them", async () => {
  const settings = () => sdk.emailRouting.get({ zone_id });
  assert.deepEqual([(await settings()).enabled, (await settings()).status], [false, "unconfigured"]);
  assert.equal((await send("a@shop.example")).code, 550);
  const missing = (await platform.rest("GET", `/zones/${zone_id}/email/routing/dns?subdomain=shop.example`)).body.result;
  assert.deepEqual(missing.errors.map(({ code }: { code: string }) => code).sort(), ["dkim.missing", "mx.missing", "spf.missing"]);

  await sdk.emailRouting.dns.create({ zone_id });
  assert.deepEqual([(await settings()).enabled, (await settings()).status], [true, "ready"]);
  const required = (await sdk.emailRouting.dns.get({ zone_id })) as { type: string; name: string; content: string }[];
  assert.deepEqual(
    required.map(({ type, name }) => [type, name]),
    [
      ["MX", "shop.example"],
      ["TXT", "shop.example"],
      ["TXT", "freehold1._domainkey.shop.example"],
    ],
  );
  const records = [];
  for await (const record of sdk.dns.records.list({ zone_id })) records.push(record);
  assert.deepEqual(records.map(({ content }) => content).sort(), required.map(({ content }) => content).sort());
  const mx = records.find(({ type }) => type === "MX") as { id: string };
  await assert.rejects(sdk.dns.records.delete(mx.id, { zone_id }), /890/);

  // A foreign server beside ours.
  const foreign = await sdk.dns.records.create({
    zone_id,
    type: "MX",
    name: "shop.example",
    content: "mx.other.example",
    priority: 1,
    ttl: 1,
  });
  assert.equal((await settings()).status, "misconfigured/locked");
  await sdk.dns.records.delete(foreign.id as string, { zone_id });

  await sdk.emailRouting.dns.edit({ zone_id });
  assert.equal((await settings()).status, "unlocked");
  await sdk.dns.records.delete(mx.id, { zone_id });
  assert.equal((await settings()).status, "misconfigured");
  await sdk.emailRouting.enable({ zone_id });
  assert.equal((await settings()).status, "ready");
  // What the zone and the mail server publish is from here on in the DNS of this file.
  for (const { name, content } of required.slice(2)) dns.set(name, { TXT: [content] });
  for (const { name, content } of (await platform.rest("GET", `/accounts/${account_id}/email/routing/dns`)).body.result)
    dns.set(name, { TXT: [content] });
});

test("[email-routing-21] a second SPF record is a warning until it is gone", async () => {
  const second = await sdk.dns.records.create({
    zone_id,
    type: "TXT",
    name: "shop.example",
    content: "v=spf1 include:other.example -all",
    ttl: 1,
  });
  assert.equal((await sdk.emailRouting.get({ zone_id })).status, "misconfigured/locked");
  const { errors } = (await platform.rest("GET", `/zones/${zone_id}/email/routing/dns?subdomain=shop.example`)).body.result;
  assert.deepEqual(errors, [
    { code: "spf.multiple", conflicting: { type: "TXT", name: "shop.example", content: "v=spf1 include:other.example -all" } },
  ]);
  await sdk.dns.records.delete(second.id as string, { zone_id });
  assert.equal((await sdk.emailRouting.get({ zone_id })).status, "ready");
});

test("[email-routing-18, email-routing-19] a rule is off until its destination follows the link, and again when that is gone", async () => {
  const { id } = await sdk.emailRouting.addresses.create({ account_id, email: "new@inbox.example" });
  const rule = await forwardRule("new@shop.example", "new@inbox.example");
  assert.equal(rule.enabled, false);
  assert.equal((await send("new@shop.example")).code, 550);
  const wrong = `${platform.ready.api}/accounts/${account_id}/email/routing/addresses/${id}/verify?token=wrong`;
  assert.equal((await fetch(wrong)).status, 400);
  await follow("new@inbox.example");
  assert.equal((await sdk.emailRouting.rules.get(rule.id as string, { zone_id })).enabled, true);
  assert.notEqual((await sdk.emailRouting.addresses.get(id as string, { account_id })).verified, null);
  assert.equal((await send("new@shop.example")).code, 250);
  assert.equal(delivered("new@inbox.example").length, 2);

  await sdk.emailRouting.addresses.delete(id as string, { account_id });
  assert.equal((await sdk.emailRouting.rules.get(rule.id as string, { zone_id })).enabled, false);
  // Not even when the same address is verified anew.
  await verified("new@inbox.example");
  assert.equal((await sdk.emailRouting.rules.get(rule.id as string, { zone_id })).enabled, false);
  await sdk.emailRouting.rules.delete(rule.id as string, { zone_id });
});

test("[email-routing-01, email-routing-25, email-routing-26, email-routing-27] a forwarded message: its From stays, its envelope leads back, two signatures and a seal hold", async () => {
  await verified("me@inbox.example");
  await forwardRule("info@shop.example", "me@inbox.example");
  const headers = { "X-Own": "kept" };
  assert.equal(
    (await send("info@shop.example", { headerFrom: "Ann <ann@sender.example>", subject: "Grüße", text: "Body", headers })).code,
    250,
  );
  const [, mail] = delivered("me@inbox.example") as [Delivered, Delivered];
  const parsed = await PostalMime.parse(mail.raw);
  assert.deepEqual([parsed.from, parsed.subject, parsed.text?.trim()], [{ name: "Ann", address: SENDER }, "Grüße", "Body"]);
  assert.equal(parsed.headers.find(({ key }) => key === "x-own")?.value, "kept");
  assert.match(mail.from, /^SRS0=[0-9a-f]{8}=[A-Z2-7]{2}=sender\.example=ann@shop\.example$/);

  const resolver = async (name: string, type: string) => {
    const values = dns.get(name)?.[type as keyof Records];
    if (values === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    return type === "TXT" ? values.map((value) => [value]) : [...values];
  };
  const verdict = await authenticate(mail.raw, { ip: "127.0.0.1", helo: "mail.platform.example", sender: mail.from, resolver });
  const passed = verdict.dkim.results.filter(({ status }) => status.result === "pass").map(({ signingDomain }) => signingDomain);
  assert.deepEqual(passed.sort(), ["mail.platform.example", "shop.example"]);
  assert.equal(verdict.arc === false ? "" : verdict.arc.status.result, "pass");
  // A changed body is found out.
  const forged = Buffer.from(mail.raw.toString("latin1").replace("Body", "Bodi"), "latin1");
  const judged = await authenticate(forged, { ip: "127.0.0.1", helo: "x", sender: mail.from, resolver });
  assert.deepEqual(
    judged.dkim.results.filter(({ status }) => status.result === "pass"),
    [],
  );

  // A bounce comes back to who wrote; a made-up return address leads nowhere.
  dns.set("sender.example", { ...dns.get("sender.example"), MX: ["mx.inbox.example"] });
  assert.equal((await bring(port, { from: "", headerFrom: "mailer@inbox.example", to: mail.from, subject: "Undelivered" })).code, 250);
  const [bounce] = delivered(SENDER) as [Delivered];
  assert.deepEqual([bounce.from, (await PostalMime.parse(bounce.raw)).subject], ["", "Undelivered"]);
  const madeUp = mail.from.replace("=ann@", "=bob@");
  assert.equal((await bring(port, { from: "", headerFrom: "mailer@inbox.example", to: madeUp })).code, 550);
});

test("[email-routing-15, email-routing-16, email-routing-17] drop, catch-all, subaddresses, the newest of two rules", async () => {
  await verified("second@inbox.example");
  await sdk.emailRouting.rules.create({
    zone_id,
    matchers: [{ type: "literal", field: "to", value: "dropped@shop.example" }],
    actions: [{ type: "drop" }],
  });
  const before = sink.mails.length;
  assert.equal((await send("dropped@shop.example")).code, 250);
  assert.equal(sink.mails.length, before);

  assert.equal((await send("ifno@shop.example")).code, 550);
  await sdk.emailRouting.rules.catchAlls.update({
    zone_id,
    enabled: true,
    matchers: [{ type: "all" }],
    actions: [{ type: "forward", value: ["second@inbox.example"] }],
  });
  assert.equal((await send("ifno@shop.example")).code, 250);
  assert.equal(delivered("second@inbox.example").length, 2);
  await sdk.emailRouting.rules.catchAlls.update({ zone_id, enabled: false, matchers: [{ type: "all" }], actions: [{ type: "drop" }] });

  assert.equal((await send("info+news@shop.example")).code, 550);
  await platform.rest("PATCH", `/zones/${zone_id}/email/routing`, { support_subaddress: true });
  const mine = delivered("me@inbox.example").length;
  assert.equal((await send("info+news@shop.example")).code, 250);
  assert.equal(delivered("me@inbox.example").length, mine + 1);
  await forwardRule("info+news@shop.example", "second@inbox.example");
  assert.equal((await send("INFO+news@shop.example")).code, 250);
  assert.equal(delivered("second@inbox.example").length, 3);

  await forwardRule("two@shop.example", "me@inbox.example");
  await forwardRule("two@shop.example", "second@inbox.example");
  assert.equal((await send("two@shop.example")).code, 250);
  assert.equal(delivered("second@inbox.example").length, 4);
});

test("[email-routing-22] a subdomain takes mail once it is added", async () => {
  const create = () => forwardRule("a@mail.shop.example", "me@inbox.example");
  await assert.rejects(create(), /no address of shop\.example/);
  await sdk.emailRouting.dns.create({ zone_id, name: "mail.shop.example" });
  await create();
  const mine = delivered("me@inbox.example").length;
  assert.equal((await send("a@mail.shop.example")).code, 250);
  assert.equal(delivered("me@inbox.example").length, mine + 1);
  assert.equal((await send("a@other.shop.example")).code, 550);
});

test("[email-routing-23, email-routing-24] what nobody vouches for, and what its domain wants refused, is refused", async () => {
  const refused = await send("info@shop.example", { from: "x@nobody.example" });
  assert.deepEqual([refused.code, /neither SPF nor DKIM/.test(refused.text)], [550, true]);
  const policy = await send("info@shop.example", { from: SENDER, headerFrom: "boss@strict.example" });
  assert.deepEqual([policy.code, /DMARC/.test(policy.text)], [550, true]);
  // A signature is enough.
  const dkim = { domainName: "keyed.example", keySelector: "k1", privateKey };
  assert.equal((await send("info@shop.example", { from: "x@keyed.example", dkim })).code, 250);
});

test("[email-routing-29] a forwarded message carries its spam score, from 0 to 5, and is forwarded whatever that is", async () => {
  const score = async (more: Partial<Parameters<typeof bring>[1]>): Promise<string | undefined> => {
    assert.equal((await send("info@shop.example", more)).code, 250);
    const { headers } = await PostalMime.parse(delivered("me@inbox.example").at(-1)?.raw as Buffer);
    return headers.find(({ key }) => key === "x-cf-spamh-score")?.value;
  };
  assert.equal(await score({ subject: "Invoice" }), "0");
  assert.equal(await score({ subject: "BUY NOW, CHEAP PILLS!!!" }), "1");
  const dkim = { domainName: "keyed.example", keySelector: "k1", privateKey };
  const unvouched = { from: "x@keyed.example", dkim, subject: "" };
  assert.equal(await score({ ...unvouched, subject: "Invoice" }), "1");
  assert.equal(await score(unvouched), "2");
  // Many signs at once, written by hand since a client of mail would not leave these fields out.
  const worst = "X-Cf-Spamh-Score: 0\r\nFrom: ann@sender.example\r\nSubject: BUY NOW, CHEAP PILLS\r\n\r\nText";
  const transport = createTransport({ host: "127.0.0.1", port, ignoreTLS: true, name: "client.sender.example" });
  await transport.sendMail({ envelope: { from: SENDER, to: "info@shop.example" }, raw: worst });
  transport.close();
  const { headers } = await PostalMime.parse(delivered("me@inbox.example").at(-1)?.raw as Buffer);
  assert.deepEqual(
    headers.filter(({ key }) => key === "x-cf-spamh-score").map(({ value }) => value),
    ["3", "0"],
  );
});

test("[email-routing-30] what the server upstream answers is told to the sender in the session", async () => {
  sink.refuses.set("me", { responseCode: 452, message: "4.2.2 mailbox full" });
  assert.deepEqual(await send("info@shop.example"), { code: 452, text: "4.2.2 mailbox full" });
  sink.refuses.set("me", { responseCode: 550, message: "5.1.1 gone" });
  assert.deepEqual(await send("info@shop.example"), { code: 550, text: "5.1.1 gone" });
  sink.refuses.clear();
  // A domain without servers, and one whose server does not answer.
  await verified("old@inbox.example");
  await forwardRule("old@shop.example", "old@inbox.example");
  dns.set("inbox.example", { MX: ["away.inbox.example"] });
  assert.equal((await send("old@shop.example")).code, 550);
  dns.set("away.inbox.example", { A: ["127.0.0.2"] });
  assert.equal((await send("old@shop.example")).code, 451);
  dns.set("inbox.example", inbox);
});

test("[email-routing-31] 25 MiB and no more", { timeout: 120_000 }, async () => {
  const text = `${"x".repeat(998)}\r\n`.repeat(25_000);
  assert.equal((await send("dropped@shop.example", { text })).code, 250);
  const tooLarge = await send("dropped@shop.example", { text: text + text.slice(0, 2_000_000) });
  assert.equal(tooLarge.code, 552);
});

test("[email-routing-28] a client on a block list is refused by the list's name", async () => {
  dns.set("1.0.0.127.rbl.example", { A: ["127.0.0.2"] });
  const answer = await send("info@shop.example");
  assert.equal(answer.code, 554);
  assert.match(
    answer.text,
    /^found on one or more RBLs \(rbl\.example\)\. Refer to https:\/\/developers\.cloudflare\.com\/email-routing\/postmaster\//,
  );
  dns.delete("1.0.0.127.rbl.example");
});

test("[email-routing-33] internationalised domains, but no internationalised local parts", async () => {
  const idn = await sdk.zones.create({ account: { id: account_id }, name: "xn--piata-pta.example" });
  await sdk.emailRouting.enable({ zone_id: idn.id });
  await sdk.emailRouting.rules.create({
    zone_id: idn.id,
    matchers: [{ type: "literal", field: "to", value: "info@piñata.example" }],
    actions: [{ type: "forward", value: ["me@inbox.example"] }],
  });
  const mine = delivered("me@inbox.example").length;
  assert.equal((await send("info@piñata.example")).code, 250);
  assert.equal(delivered("me@inbox.example").length, mine + 1);
  assert.equal((await send("piñata@shop.example")).code, 553);
});

test("[email-routing-34] IPv6 where the server upstream has it, else IPv4", async () => {
  await verified("me@four.example");
  await forwardRule("four@shop.example", "me@four.example");
  await send("four@shop.example");
  await send("info@shop.example");
  assert.equal(delivered("me@four.example").at(-1)?.over, "IPv4");
  assert.equal(delivered("me@inbox.example").at(-1)?.over, "IPv6");
});

test("[email-routing-38] changes are in the audit log", async () => {
  const entries = (await platform.rest("GET", `/accounts/${account_id}/audit_logs?per_page=1000`)).body.result;
  const seen = new Set(entries.map(({ action }: { action: { info: string } }) => action.info));
  for (const info of ["AddRule", "AddAddress", "EnableZone", "UnlockZone"]) assert.ok(seen.has(info), info);
});

test("several recipients one by one, circles, and a door that is no relay", async () => {
  const transport = createTransport({ host: "127.0.0.1", port, ignoreTLS: true });
  const recipients = ["info@shop.example", "two@shop.example"];
  const { accepted, rejected, rejectedErrors } = await transport.sendMail({ from: SENDER, to: recipients, subject: "Hi", text: "Hi" });
  transport.close();
  assert.deepEqual([accepted, rejected, rejectedErrors?.[0]?.responseCode], [["info@shop.example"], ["two@shop.example"], 452]);
  // Nobody's domain: nothing is relayed.
  assert.equal((await send("victim@inbox.example")).code, 550);
  // A message that was here before.
  const circle = await send("info@shop.example", { headers: { "X-Forwarded-By-Freehold": "info@shop.example" } });
  assert.equal(circle.code, 554);
  // Nothing is stored of what went through.
  const kept = (await platform.rest("GET", `/accounts/${account_id}/email/routing/sent`)).body.result;
  assert.deepEqual([...new Set(kept.map(({ worker }: { worker: string }) => worker))], ["verification"]);
});
