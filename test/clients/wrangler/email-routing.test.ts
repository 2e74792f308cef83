/** Mail that Workers send by `send_email`: deployed by wrangler, read by the API. Nothing leaves this machine. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import PostalMime from "postal-mime";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "email_routing.sent_max": 5 } });
const sentPath = `/accounts/${platform.ready.account_id}/email/routing/sent`;

interface Sent {
  readonly id: string;
  readonly from: string;
  readonly to: string[];
  readonly subject: string;
  readonly message_id: string;
}

const sent = async (): Promise<Sent[]> => (await platform.rest("GET", sentPath)).body.result;

async function rawOf(id: string): Promise<Buffer> {
  const response = await fetch(`${platform.ready.api}${sentPath}/${id}/raw`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

test("[email-routing-10] the documentation's Worker with MIMEText sends its message", async () => {
  const mimetext = createRequire(import.meta.url).resolve("mimetext");
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { EmailMessage } from "cloudflare:email";
import { createMimeMessage } from "mimetext";
export default {
  async fetch(request, env) {
    const msg = createMimeMessage();
    msg.setSender({ name: "GPT-4", addr: "sender@example.com" });
    msg.setRecipient("recipient@example.com");
    msg.setSubject("An email generated in a worker");
    msg.addMessage({
      contentType: "text/plain",
      data: \`Congratulations, you just sent an email from a worker.\`,
    });
    var message = new EmailMessage("sender@example.com", "recipient@example.com", msg.asRaw());
    try {
      await env.SEB.send(message);
    } catch (e) {
      return new Response(e.message);
    }
    return new Response("Hello Send Email World!");
  },
};`,
    },
    config: {
      name: "mimetext-mail",
      compatibility_flags: ["nodejs_compat"],
      alias: { mimetext },
      send_email: [{ name: "SEB", destination_address: "recipient@example.com" }],
    },
  });
  assert.equal(await (await platform.fetch(project.url)).text(), "Hello Send Email World!");
  const [message] = (await sent()) as [Sent];
  assert.deepEqual(
    [message.from, message.to, message.subject],
    ["sender@example.com", ["recipient@example.com"], "An email generated in a worker"],
  );
  const parsed = await PostalMime.parse(await rawOf(message.id));
  assert.equal(parsed.text?.trim(), "Congratulations, you just sent an email from a worker.");
  assert.deepEqual([parsed.from?.name, parsed.messageId], ["GPT-4", message.message_id]);
});

test("[email-routing-09, email-routing-11] null recipients, messages from the builder, and what a binding does not allow", async () => {
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { EmailMessage } from "cloudflare:email";
const mime = (from, to, more = "") => "From: <" + from + ">\\r\\nTo: <" + to + ">\\r\\nMessage-ID: <1@example.com>\\r\\n" + more + "Subject: raw\\r\\n\\r\\nText\\r\\n";
export default {
  async fetch(request, env) {
    const { binding, from, to, more, builder, stream, head } = await request.json();
    const text = head ?? mime(from, to ?? "one@example.com", more);
    const raw = stream ? new Response(text).body : text;
    if (builder?.attachments) builder.attachments[0].content = new TextEncoder().encode("attached text");
    try { return Response.json(await env[binding].send(builder ?? new EmailMessage(from, to, raw))); }
    catch (error) { return Response.json({ error: error.message, type: error.constructor.name, by: env[binding].constructor.name }); }
  },
};`,
    },
    config: {
      name: "mails",
      send_email: [
        { name: "ANY" },
        { name: "ONE", destination_address: "one@example.com" },
        { name: "LISTED", allowed_destination_addresses: ["one@example.com", "two@example.com"] },
        { name: "SENDERS", allowed_sender_addresses: ["me@example.com"] },
      ],
    },
  });
  const send = async (body: object) =>
    (await (await platform.fetch(project.url, { method: "POST", body: JSON.stringify(body) })).json()) as {
      messageId?: string;
      error?: string;
    };
  const from = "me@example.com";

  // Without a recipient the message goes to the binding's.
  assert.deepEqual(await send({ binding: "ONE", from, to: null }), { messageId: "<1@example.com>" });
  assert.deepEqual([(await sent())[0]?.to, (await sent())[0]?.subject], [["one@example.com"], "raw"]);
  assert.deepEqual(await send({ binding: "LISTED", from, to: "two@example.com", stream: true }), { messageId: "<1@example.com>" });

  const before = await sent();
  for (const [body, error] of [
    [{ binding: "ONE", from, to: "two@example.com" }, "email to two@example.com not allowed"],
    [{ binding: "LISTED", from, to: "three@example.com" }, "email to three@example.com not allowed"],
    [{ binding: "SENDERS", from: "you@example.com", to: "one@example.com" }, "email from you@example.com not allowed"],
    [{ binding: "ANY", from, to: "a@example.com", more: "Received: by us\r\n" }, "invalid headers set"],
    [{ binding: "ANY", from, to: "a@example.com", head: "From: <me@example.com>\r\n\r\nText" }, "invalid message-id"],
    [
      { binding: "ANY", from, to: "a@example.com", head: "From: <b@example.com>\r\nMessage-ID: <1@b>\r\n\r\n" },
      "From: header does not match mail from",
    ],
    [
      { binding: "LISTED", builder: { from, to: "one@example.com", bcc: "spy@example.com", subject: "s", text: "t" } },
      "email to spy@example.com not allowed",
    ],
  ] as const)
    assert.deepEqual(await send(body), { error, type: "Error", by: "SendEmail" });
  assert.match(
    (await send({ binding: "ANY", builder: { from, to: "a@example.com", headers: { "X-A": "1\r\nBcc: all@example.com" } } })).error ?? "",
    /could not parse email/,
  );
  assert.deepEqual(await sent(), before);

  const { messageId } = await send({
    binding: "SENDERS",
    builder: {
      from: { name: "Me", email: from },
      to: ["one@example.com", { name: "Zwei", email: "two@example.com" }],
      cc: "three@example.com",
      subject: "Grüße",
      text: "plain",
      html: "<p>rich</p>",
      headers: { "X-Kind": "test" },
      attachments: [{ filename: "a.txt", type: "text/plain", disposition: "attachment" }],
    },
  });
  const [built] = (await sent()) as [Sent];
  assert.deepEqual(
    [built.message_id, built.from, built.to],
    [messageId, from, ["one@example.com", "two@example.com", "three@example.com"]],
  );
  const parsed = await PostalMime.parse(await rawOf(built.id));
  assert.deepEqual([parsed.subject, parsed.text?.trim(), parsed.html?.trim(), parsed.from?.name], ["Grüße", "plain", "<p>rich</p>", "Me"]);
  assert.equal(parsed.headers.find(({ key }) => key === "x-kind")?.value, "test");
  assert.equal(Buffer.from(parsed.attachments[0]?.content as ArrayBuffer).toString(), "attached text");

  // Only the newest are kept, and only a token for mail reads them.
  for (let i = 0; i < 4; i++) await send({ binding: "ANY", from, to: "one@example.com" });
  assert.equal((await sent()).length, 5);
  const stranger = await platform.token(["Workers Scripts Write"]);
  assert.equal((await platform.rest("GET", sentPath, undefined, stranger.value)).status, 403);
});
