/** The REST actions of Browser Rendering with the official SDK, on pages of a server beside the platform that notes what it is asked. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { APIError } from "cloudflare";
import sharp, { type Sharp } from "sharp";
import { extractText, getDocumentProxy } from "unpdf";
import { verify } from "web-bot-auth";
import { verifierFromJWK } from "web-bot-auth/crypto";
import { browserSettings, noBrowser } from "../../harness/browser.ts";
import { startModelServer } from "../../harness/model-server.ts";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { openOrigin } from "../browser-rendering-origin.ts";

const skip = noBrowser;
const origin = await openOrigin({ after });
const models = await startModelServer({ after });
const config = {
  ...browserSettings,
  "browser_rendering.private_hosts": [origin.host, origin.host.replace("127.0.0.1", "localhost")],
  "browser_rendering.actions_per_min": 0,
  "workers_ai.models": [`@cf/*=${models.url}`],
  "ai_gateway.providers": [`openai=${models.url}`, `anthropic=${models.url.replace(/\/v1$/, "")}`],
};
const platform = await startPlatform({ after }, { config });
const account_id = platform.ready.account_id;
const actions = platform.sdk().browserRendering;

const EXAMPLE = `<!doctype html><html><head><title>Example Domain</title><style>body { margin: 0 }</style></head><body><div>
  <h1>Example Domain</h1><p>This domain is for use in illustrative examples in documents. You may use this
    domain in literature without prior coordination or asking for permission.</p>
  <p><a href="https://www.iana.org/domains/example">More information...</a></p></div></body></html>`;

/** A call of an action by hand, for what the SDK does not show: bytes, headers, envelopes. */
async function call(action: string, body: object, query = ""): Promise<{ status: number; headers: Headers; bytes: Buffer }> {
  const response = await platform.fetch(`/client/v4/accounts/${account_id}/browser-rendering/${action}${query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers as unknown as Headers, bytes: Buffer.from(await response.arrayBuffer()) };
}

const json = ({ bytes }: { bytes: Buffer }) => JSON.parse(bytes.toString());
const picture = async (options: object): Promise<Sharp> => {
  const { status, bytes } = await call("screenshot", options);
  assert.equal(status, 200, bytes.toString("latin1", 0, 500));
  return sharp(bytes);
};
const sizeOf = async (options: object): Promise<unknown[]> => {
  const { format, width, height } = await (await picture(options)).metadata();
  return [format, width, height];
};

test("[browser-rendering-01, browser-rendering-21] content has what scripts made, and the head; the answer tells the browser's time", {
  skip,
}, async () => {
  const url = origin.page("script", "<!doctype html><title>Late</title><body><script>document.body.append('made of ' + 6 * 7)</script>");
  const content = await actions.content.create({ account_id, url });
  assert.equal(
    content,
    `<!DOCTYPE html><html><head><title>Late</title></head><body><script>document.body.append('made of ' + 6 * 7)</script>made of 42</body></html>`,
  );
  const answer = await call("content", { html: "<title>Given</title><script>document.title += '!'</script>" });
  assert.equal(answer.status, 200);
  assert.match(String(answer.headers.get("x-browser-ms-used")), /^[1-9]\d*$/);
  const { success, result, meta } = json(answer);
  assert.deepEqual([success, meta.status, meta.title], [true, 200, "Given!"]);
  assert.match(result, /<head><title>Given!<\/title>/);
});

test("[browser-rendering-02, browser-rendering-03, browser-rendering-05] screenshots have the size that was asked for", {
  skip,
}, async () => {
  const url = origin.page(
    "tall",
    `<body style="margin:0;background:#00f"><div id="box" style="position:absolute;left:50px;top:2000px;width:120px;height:80px;background:#f00"></div></body>`,
  );
  assert.deepEqual(await sizeOf({ url }), ["png", 1920, 1080]);
  assert.deepEqual(await sizeOf({ html: "Hello World!" }), ["png", 1920, 1080]);
  const viewport = { width: 300, height: 200 };
  assert.deepEqual(await sizeOf({ url, viewport }), ["png", 300, 200]);
  assert.deepEqual(await sizeOf({ url, viewport: { ...viewport, deviceScaleFactor: 2 } }), ["png", 600, 400]);
  assert.deepEqual(await sizeOf({ url, viewport, screenshotOptions: { fullPage: true } }), ["png", 300, 2080]);
  const clip = { x: 10, y: 10, width: 40, height: 30 };
  assert.deepEqual(await sizeOf({ url, viewport, screenshotOptions: { clip } }), ["png", 40, 30]);
  const box = await picture({ url, viewport, selector: "#box" });
  assert.deepEqual(
    [(await box.metadata()).width, (await box.metadata()).height, (await box.stats()).dominant],
    [120, 80, { r: 248, g: 8, b: 8 }],
  );
  const alpha = async (options: object) => (await (await picture({ html: "Hello", viewport, ...options })).stats()).channels[3]?.min ?? 255;
  assert.deepEqual([await alpha({ screenshotOptions: { omitBackground: true } }), await alpha({})], [0, 255]);
  const none = await call("screenshot", { url, selector: "#nothing" });
  assert.equal(none.status, 422);
});

test("[browser-rendering-04] jpeg and webp take a quality, png refuses it", { skip }, async () => {
  const html = `<body style="background:linear-gradient(45deg,red,blue,lime)">`;
  for (const type of ["jpeg", "webp"]) {
    const viewport = { width: 400, height: 300 };
    const [low, high] = await Promise.all(
      [5, 95].map((quality) => call("screenshot", { html, viewport, screenshotOptions: { type, quality } })),
    );
    assert.deepEqual([low?.status, low?.headers.get("content-type")], [200, `image/${type}`]);
    assert.equal((await sharp(high?.bytes).metadata()).format, type);
    assert.ok((low?.bytes.length as number) < (high?.bytes.length as number), "a low quality is smaller");
  }
  const refused = await call("screenshot", { html, screenshotOptions: { quality: 50 } });
  assert.equal(refused.status, 400);
  assert.match(json(refused).errors[0].message, /screenshotOptions.quality: .*png/);
});

test("[browser-rendering-06, browser-rendering-07] PDFs have the asked paper, text, and the placeholders of header and footer", {
  skip,
}, async () => {
  const read = async (options: object) => {
    const { status, headers, bytes } = await call("pdf", options);
    assert.deepEqual([status, headers.get("content-type"), bytes.toString("latin1", 0, 4)], [200, "application/pdf", "%PDF"]);
    const document = await getDocumentProxy(new Uint8Array(bytes));
    const [, , width, height] = (await document.getPage(1)).view;
    return { size: [width, height].map((points) => Math.round(points as number)), ...(await extractText(document)) };
  };
  const letter = await read({ url: origin.page("print", EXAMPLE) });
  assert.deepEqual([letter.size, letter.totalPages], [[612, 792], 1]);
  assert.match(letter.text.join(""), /Example Domain.*illustrative examples/s);
  const html = `<title>Report</title><p>One</p><p style="break-before:page">Two</p>`;
  const headerTemplate = `<div style="font-size:10px"><span class="title"></span> of <span class="date"></span></div>`;
  const footerTemplate = `<div style="font-size:10px">Page <span class="pageNumber"></span>/<span class="totalPages"></span></div>`;
  const margin = { top: "2cm", bottom: 80 };
  const a5 = await read({ html, pdfOptions: { format: "a5", displayHeaderFooter: true, headerTemplate, footerTemplate, margin } });
  assert.deepEqual([a5.size, a5.totalPages], [[420, 596], 2]);
  for (const [index, word] of ["One", "Two"].entries()) {
    assert.match(a5.text[index] as string, new RegExp(`${word}`));
    assert.match(a5.text[index] as string, new RegExp(`Page ${index + 1}/2`));
    assert.match(a5.text[index] as string, /Report of \d+\/\d+\/\d+/);
  }
  const wide = await read({ html, pdfOptions: { format: "a5", landscape: true, pageRanges: "2" } });
  assert.deepEqual([wide.size, wide.text], [[596, 420], ["Two"]]);
});

test("[browser-rendering-08] a PDF's HTML may have 50 MB", { skip }, async () => {
  const html = (bytes: number) => `<p>Large</p><!--${"x".repeat(bytes)}-->`;
  const large = await call("pdf", { html: html(40_000_000) });
  assert.deepEqual([large.status, large.bytes.toString("latin1", 0, 4)], [200, "%PDF"]);
  const larger = await call("pdf", { html: html(53_000_000) });
  assert.equal(larger.status, 413);
  assert.equal(json(larger).errors[0].message, "request entity too large");
});

test("[browser-rendering-09] Markdown of the example page is as documented", { skip }, async () => {
  const expected = `# Example Domain

This domain is for use in illustrative examples in documents. You may use this domain in literature without prior coordination or asking for permission.

[More information...](https://www.iana.org/domains/example)`;
  assert.equal(await actions.markdown.create({ account_id, url: origin.page("example", EXAMPLE) }), expected);
  assert.equal(await actions.markdown.create({ account_id, html: "<div>Hello World</div>" }), "Hello World");
  const table = "<table><tr><th>a<th>b<tr><td>1<td>2</table><ul><li>x</ul><pre><code class=language-js>f()</code></pre>";
  const rich = await actions.markdown.create({ account_id, html: table });
  assert.match(rich, /\| a \| b \|\n\| - \| - \|\n\| 1 \| 2 \|/);
  assert.match(rich, /```js\nf\(\)\n```/);
});

test("[browser-rendering-10, browser-rendering-15] snapshots, scripts, styles, and pages without JavaScript", { skip }, async () => {
  const url = origin.page("snapshot", EXAMPLE);
  origin.serve(
    "style.css",
    (_, response) => void response.writeHead(200, { "content-type": "text/css" }).end("body { color: rgb(1, 2, 3) }"),
  );
  origin.serve(
    "code.js",
    (_, response) => void response.writeHead(200, { "content-type": "text/javascript" }).end("document.body.append(' by URL')"),
  );
  const { content, screenshot } = await actions.snapshot.create({
    account_id,
    url,
    viewport: { width: 200, height: 100 },
    addScriptTag: [{ content: "document.querySelector('h1').innerText = 'Hello World!!!'" }, { url: `http://${origin.host}/code.js` }],
    addStyleTag: [{ content: "body { background: rgb(255, 0, 0) }" }, { url: `http://${origin.host}/style.css` }],
  });
  assert.match(content as string, /<h1>Hello World!!!<\/h1>.* by URL/s);
  const image = sharp(Buffer.from(screenshot as string, "base64"));
  assert.deepEqual([(await image.metadata()).width, (await image.stats()).dominant], [200, { r: 248, g: 8, b: 8 }]);
  assert.deepEqual(origin.asked("style.css"), ["/style.css"]);
  const quiet = await actions.snapshot.create({
    account_id,
    html: "<body>Advanced<script>document.body.append('Never')</script><noscript>Quiet</noscript>",
    setJavaScriptEnabled: false,
    screenshotOptions: { fullPage: true },
    viewport: { width: 1200, height: 800 },
    gotoOptions: { waitUntil: "domcontentloaded", timeout: 30000 },
  });
  assert.match(quiet.content as string, /Advanced/);
  assert.doesNotMatch(quiet.content as string, /<\/script>Never/);
  const still = await actions.content.create({
    account_id,
    url: origin.page("still", "<body><script>document.body.append('Never')</script>"),
    setJavaScriptEnabled: false,
  });
  assert.doesNotMatch(still, /<\/script>Never/);
});

test("[browser-rendering-11] scrape gives boxes, text and attributes for each selector", { skip }, async () => {
  const html = `<body style="margin:0"><h1 style="position:absolute;left:100px;top:133.5px;width:600px;height:39px;margin:0">A <b>B</b></h1>
    <a href="/x" title="t" style="position:absolute;left:10px;top:20px">one</a><a href="/y" hidden>two</a>`;
  const [headings, links] = await actions.scrape.create({ account_id, html, elements: [{ selector: "h1" }, { selector: "a" }] });
  assert.deepEqual(headings, {
    selector: "h1",
    results: [
      {
        attributes: [{ name: "style", value: "position:absolute;left:100px;top:133.5px;width:600px;height:39px;margin:0" }],
        height: 39,
        html: "A <b>B</b>",
        left: 100,
        text: "A B",
        top: 133.5,
        width: 600,
      },
    ],
  });
  const found = links?.results as unknown as { text: string; attributes: { name: string; value: string }[] }[];
  assert.deepEqual(
    found.map(({ text }) => text),
    ["one", "two"],
  );
  assert.deepEqual(found[0]?.attributes.slice(0, 2), [
    { name: "href", value: "/x" },
    { name: "title", value: "t" },
  ]);
  const bad = await call("scrape", { html, elements: [{ selector: "h1[" }] });
  assert.deepEqual([bad.status, json(bad).errors[0].code], [422, 6005]);
});

test("[browser-rendering-12] links: all, visible ones, internal ones", { skip }, async () => {
  const url = origin.page(
    "links",
    `<a href="/inside">1</a> <a href="relative?q">2</a> <a href="/hidden" style="display:none">3</a> <a href="https://elsewhere.example/">4</a>
     <a href="/inside">again</a> <a href="#top">fragment</a> <a>no address</a> <span style="visibility:hidden"><a href="https://other.example/x">5</a></span>`,
  );
  const base = `http://${origin.host}`;
  assert.deepEqual(await actions.links.create({ account_id, url }), [
    `${base}/inside`,
    `${base}/relative?q`,
    `${base}/hidden`,
    "https://elsewhere.example/",
    "https://other.example/x",
  ]);
  assert.deepEqual(await actions.links.create({ account_id, url, visibleLinksOnly: true }), [
    `${base}/inside`,
    `${base}/relative?q`,
    "https://elsewhere.example/",
  ]);
  assert.deepEqual(await actions.links.create({ account_id, url, excludeExternalLinks: true }), [
    `${base}/inside`,
    `${base}/relative?q`,
    `${base}/hidden`,
  ]);
});

test("[browser-rendering-16, browser-rendering-18, browser-rendering-23] a protected page by password, cookie and header; the user agent; headers of ours", {
  skip,
}, async () => {
  const url = origin.serve("protected", ({ headers }, response) => {
    const cookie = headers.cookie === "session_id=s3cret";
    const basic = headers.authorization === `Basic ${Buffer.from("user:pass").toString("base64")}`;
    if (cookie || basic || headers["x-key"] === "k") response.writeHead(200, { "content-type": "text/html" }).end("<p>Inside</p>");
    else response.writeHead(401, { "www-authenticate": 'Basic realm="r"', "content-type": "text/html" }).end("<p>Outside</p>");
  });
  const seen = async (options: object) => /Inside|Outside/.exec(json(await call("content", { url, ...options })).result)?.[0];
  assert.equal(await seen({}), "Outside");
  assert.equal(await seen({ authenticate: { username: "user", password: "wrong" } }), "Outside");
  assert.equal(await seen({ authenticate: { username: "user", password: "pass" } }), "Inside");
  assert.equal(await seen({ cookies: [{ name: "session_id", value: "s3cret", domain: "127.0.0.1", path: "/" }] }), "Inside");
  assert.equal(await seen({ setExtraHTTPHeaders: { "X-Key": "k", "cf-brapi-request-id": "forged", "CF-Biso-Devtools": "0" } }), "Inside");
  const forged = origin.requests.filter(({ headers }) => headers["x-key"] === "k").at(-1)?.headers;
  assert.match(String(forged?.["cf-brapi-request-id"]), /^[0-9a-f-]{36}$/);
  assert.equal(forged?.["cf-biso-devtools"], "1");
  assert.match(String(forged?.["user-agent"]), /Chrome\/\d+/);
  assert.doesNotMatch(String(forged?.["user-agent"]), /Headless/);
  // On the way to another origin they are not the page's own: nobody asks first whether they may be sent.
  const shared = origin.serve(
    "shared",
    (_, response) => void response.writeHead(200, { "access-control-allow-origin": "*" }).end("shared"),
  );
  const elsewhere = shared.replace("127.0.0.1", "localhost");
  const cross = origin.page(
    "cross",
    `<script>fetch("${elsewhere}").then((answer) => answer.text(), String).then((text) => document.write("<i id=done>" + text))</script>`,
  );
  assert.match(json(await call("content", { url: cross, waitForSelector: { selector: "#done" } })).result, /<i id="done">shared/);
  const agent = origin.page("agent", "<script>document.write(navigator.userAgent)</script>");
  assert.match(await actions.content.create({ account_id, url: agent, userAgent: "Robot/7" }), /Robot\/7/);
  assert.equal(origin.requests.at(-1)?.headers["user-agent"], "Robot/7");
});

test("[browser-rendering-24] requests are signed, and verify against the platform's directory of keys", { skip }, async () => {
  const url = origin.page("signed", "<p>Signed</p>");
  assert.equal((await call("content", { url, setExtraHTTPHeaders: { Signature: "forged", "Signature-Agent": "forged" } })).status, 200);
  const asked = origin.requests.at(-1)?.headers as Record<string, string>;
  const agent = JSON.parse(String(asked["signature-agent"]));
  const directory = await platform.fetch(`${agent}/.well-known/http-message-signatures-directory`);
  assert.equal(directory.headers.get("content-type"), "application/http-message-signatures-directory+json");
  const { keys } = (await directory.json()) as { keys: (Parameters<typeof verifierFromJWK>[0] & { kid: string })[] };
  const verifies = async (headers: Record<string, string>): Promise<string> => {
    let keyid = "";
    const verifier = await verifierFromJWK(keys[0] as (typeof keys)[0]);
    const checked: typeof verifier = (data, signature, params) => {
      keyid = params.keyid;
      return verifier(data, signature, params);
    };
    await verify(new Request(url, { headers }), checked);
    return keyid;
  };
  assert.equal(await verifies(asked), keys[0]?.kid);
  await assert.rejects(verifies({ ...asked, "signature-agent": '"http://elsewhere.example"' }), /verif|signature/i);
});

test("[browser-rendering-17] unwanted requests do not reach the origin", { skip }, async () => {
  const base = `http://${origin.host}/parts`;
  const page = `<link rel=stylesheet href="${base}/a.css"><script src="${base}/b.js"></script><img src="${base}/c.png"><iframe src="${base}/d.html"></iframe>`;
  const url = origin.serve(
    "parts",
    (request, response) => void response.writeHead(200, { "content-type": "text/html" }).end(request.url === "/parts" ? page : ""),
  );
  const asked = async (options: object): Promise<string[]> => {
    const before = origin.asked("parts").length;
    const { status, bytes } = await call("content", { url, gotoOptions: { waitUntil: "load" }, ...options }, "?cacheTTL=0");
    assert.equal(status, 200, bytes.toString());
    return origin
      .asked("parts")
      .slice(before)
      .map((path) => path.replace("/parts", ""))
      .sort();
  };
  assert.deepEqual(await asked({}), ["", "/a.css", "/b.js", "/c.png", "/d.html"]);
  assert.deepEqual(await asked({ rejectResourceTypes: ["image"], rejectRequestPattern: ["/^.*\\.(css)"] }), ["", "/b.js", "/d.html"]);
  assert.deepEqual(await asked({ rejectRequestPattern: ["\\.(png|js)$"] }), ["", "/a.css", "/d.html"]);
  assert.deepEqual(await asked({ allowResourceTypes: ["document"] }), ["", "/d.html"]);
  assert.deepEqual(await asked({ allowRequestPattern: ["/parts$", "/\\/B\\.js/i"] }), ["", "/b.js"]);
  assert.equal((await call("content", { url, rejectRequestPattern: ["("] })).status, 400);
  // A pattern that would take for ever ends its own request alone.
  const slow = await call("content", { url: `${url}?${"a".repeat(60)}`, rejectRequestPattern: ["(a+)+$!"] });
  assert.deepEqual([slow.status, json(slow).errors[0].code], [422, 6002]);
});

test("[browser-rendering-19] what comes late is waited for; what never comes is 422", { skip }, async () => {
  origin.serve("late.json", (_, response) => void setTimeout(() => response.end("{}"), 300));
  const url = origin.page(
    "late",
    `<p>Early</p><script>fetch("/late.json").then(() => { const p = document.createElement("p"); p.id = "late"; document.body.append(p) })</script>`,
  );
  const late = async (options: object) => json(await call("content", { url, ...options }, "?cacheTTL=0")).result.includes('id="late"');
  assert.equal(await late({}), false);
  assert.equal(await late({ gotoOptions: { waitUntil: "networkidle0" } }), true);
  assert.equal(await late({ goToOptions: { waitUntil: ["load", "networkidle2"] }, waitForTimeout: 400 }), true);
  assert.equal(await late({ waitForSelector: { selector: "#late" } }), true);
  const failed = async (options: object): Promise<unknown[]> => {
    const answer = await call("content", { url, ...options }, "?cacheTTL=0");
    return [answer.status, json(answer).errors[0].code];
  };
  assert.deepEqual(await failed({ waitForSelector: { selector: "#never", timeout: 100 } }), [422, 6002]);
  const hanging = origin.serve("hanging", () => undefined);
  assert.deepEqual(await failed({ url: hanging, gotoOptions: { timeout: 100 } }), [422, 6002]);
  assert.equal((await failed({ gotoOptions: { timeout: 60_001 } }))[0], 400);
  assert.deepEqual(await failed({ url: "http://nowhere.invalid/" }), [422, 5005]);
  const never = { account_id, url, waitForSelector: { selector: "#never", timeout: 50 } };
  await assert.rejects(
    async () => actions.content.create(never),
    (error) => error instanceof APIError && error.status === 422,
  );
  assert.match(await actions.content.create({ ...never, bestAttempt: true }), /Early/);
});

test("[browser-rendering-20] an answer is given again for five seconds, or as long as cacheTTL says", { skip }, async () => {
  const url = origin.page("cached", "<p>Cached</p>");
  const answers = [];
  for (const cacheTTL of [undefined, undefined, 0])
    answers.push(await actions.content.create({ account_id, url, ...(cacheTTL !== undefined && { cacheTTL }) }));
  assert.equal(new Set(answers).size, 1);
  assert.equal(origin.asked("cached").length, 2);
  await actions.links.create({ account_id, url });
  assert.equal(origin.asked("cached").length, 3);
  assert.equal((await call("content", { url }, "?cacheTTL=86401")).status, 400);
});

test("pages reach nothing private: by address, name, redirect, frame, script, socket or another scheme", { skip }, async () => {
  const victim = await openOrigin({ after });
  victim.page("secret", "<p>SECRET</p>");
  const port = victim.host.split(":")[1];
  const names = [
    "127.0.0.1",
    "localhost",
    "pages.localhost",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
  ];
  const targets = names.map((name) => `http://${name}:${port}/secret`);
  for (const url of [
    ...targets.slice(0, 2),
    origin.serve("away", (_, response) => void response.writeHead(302, { location: targets[0] }).end()),
  ]) {
    const { status, bytes } = await call("content", { url });
    assert.deepEqual([status, json({ bytes }).errors[0].code], [422, 5001], bytes.toString());
  }
  const secure = await call("content", { url: `https://127.0.0.1:${port}/secret` });
  assert.deepEqual([secure.status, json(secure).errors[0].code], [422, 5006]);
  // Everything that a page can do about other hosts; it says when it has tried all.
  const tries = origin.page(
    "tries",
    `<body><script>
      const targets = ${JSON.stringify(targets)};
      const settled = (start) => new Promise((resolve) => { try { start(resolve) } catch (error) { resolve() } });
      Promise.all(targets.flatMap((url) => [
        fetch(url, { mode: "no-cors" }).then((answer) => answer.text(), () => "").then((text) => document.body.append(text)),
        fetch("/away?to", { mode: "no-cors" }).catch(() => ""),
        settled((done) => { const image = new Image(); image.onload = image.onerror = done; image.src = url }),
        settled((done) => { const frame = document.createElement("iframe"); frame.onload = done; frame.src = url; document.body.append(frame) }),
        settled((done) => { const socket = new WebSocket(url.replace("http", "ws")); socket.onopen = socket.onerror = done }),
        settled((done) => { const events = new EventSource(url); events.onopen = events.onerror = () => { events.close(); done() } }),
        settled((done) => { const worker = new Worker(URL.createObjectURL(new Blob(["fetch(" + JSON.stringify(url) + ", {mode:'no-cors'}).finally(() => postMessage(1))"]))); worker.onmessage = worker.onerror = done }),
        settled((done) => { const peer = new RTCPeerConnection({ iceServers: [{ urls: "turn:127.0.0.1:${port}?transport=tcp", username: "u", credential: "c" }] }); peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done(); peer.createDataChannel("d"); peer.createOffer().then((offer) => peer.setLocalDescription(offer)) }),
      ])).then(() => document.body.insertAdjacentHTML("beforeend", "<i id=done>"));
      navigator.sendBeacon(targets[0], "x");
    </script>`,
  );
  const answer = await call("content", { url: tries, waitForSelector: { selector: "#done" } });
  assert.equal(answer.status, 200, answer.bytes.toString());
  assert.doesNotMatch(answer.bytes.toString(), /SECRET/);
  const files = origin.page(
    "files",
    `<iframe src="file:///etc/passwd"></iframe><iframe src="chrome://version"></iframe><script>try { location = "file:///etc/passwd" } catch {}</script>`,
  );
  assert.doesNotMatch((await call("content", { url: files, gotoOptions: { waitUntil: "load" } })).bytes.toString(), /root:/);
  for (const url of ["file:///etc/passwd", "chrome://version", "javascript:1", "view-source:http://x/", "ftp://x/"])
    assert.equal((await call("content", { url })).status, 400, url);
  assert.deepEqual(victim.requests, []);
});

test("[browser-rendering-13] json: data of a page by a schema, by a prompt, and by both", { skip }, async () => {
  const url = origin.page("products", EXAMPLE);
  const schema = { type: "object", properties: { name: { type: "string" }, price: { type: "number" } }, required: ["name"] };
  const expected = { name: "some name", price: 7 };
  const json_schema = { type: "json_schema", json_schema: schema };
  assert.deepEqual(await actions.json.create({ account_id, url, response_format: json_schema }), expected);
  assert.deepEqual(await actions.json.create({ account_id, url, prompt: "Get me the price", response_format: json_schema }), expected);
  const asked = models.seen.at(-1)?.body;
  assert.match(JSON.stringify(asked.messages), /Get me the price.*# Example Domain/);
  // As the documentation's examples spell it.
  const documented = await call("json", { url, prompt: "Get", response_format: { type: "json_schema", schema } }, "?cacheTTL=0");
  assert.deepEqual(json(documented).result, expected);
  assert.equal(typeof (await actions.json.create({ account_id, html: "<p>Page</p>", prompt: "What is it?" })), "object");
  const raw = await call("json", { url, prompt: "no JSON", response_format: json_schema }, "?cacheTTL=0");
  assert.deepEqual([raw.status, json(raw).errors[0].message], [422, "JSON Mode couldn't be met"]);
  assert.equal((await call("json", { url })).status, 400);
});

test("[browser-rendering-14] json: custom_ai's models in their order, with the caller's keys, and the raw text of an answer that is no JSON", {
  skip,
}, async () => {
  const html = "<h1>Heading 1</h1><h2>Heading 2</h2>";
  const schema = { type: "object", properties: { h1: { type: "string" } }, required: ["h1"] };
  const options = { account_id, html, prompt: "Get the heading", response_format: { type: "json_schema", schema } } as never as object;
  const extract = (custom_ai: object[], more: object = {}) => call("json", { ...options, account_id: undefined, custom_ai, ...more });
  const failing = { model: "anthropic/claude-fails", authorization: "Bearer key-of-anthropic" };
  const [llama, gpt] = [
    { model: "workers-ai/@cf/meta/llama-3.3-70b-instruct-fp8-fast", authorization: "Bearer unused" },
    { model: "openai/gpt-4o", authorization: "key-of-openai" },
  ];
  const asked = () => models.seen.map(({ body, headers }) => [body.model, headers.authorization]);
  // The documentation's example: the first fails, the second answers, the third is not asked.
  models.seen.length = 0;
  const second = await actions.json.create({ ...(options as { html: string; account_id: string }), custom_ai: [failing, llama, gpt] });
  assert.deepEqual(second, { h1: "some h1" });
  assert.deepEqual(asked(), [
    ["claude-fails", "Bearer key-of-anthropic"],
    ["@cf/meta/llama-3.3-70b-instruct-fp8-fast", undefined],
  ]);
  models.seen.length = 0;
  assert.deepEqual(json(await extract([failing, gpt])).result, { h1: "some h1" });
  assert.deepEqual(asked().at(-1), ["gpt-4o", "Bearer key-of-openai"]);
  // The last one's failure is told.
  for (const one of [gpt, llama]) {
    const raw = await extract([failing, one], { prompt: "no JSON" });
    const { success, errors, rawAiResponse } = json(raw);
    assert.deepEqual([raw.status, success, errors[0].message, rawAiResponse], [422, false, "JSON Mode couldn't be met", "no"]);
  }
  const failed = await extract([failing]);
  assert.deepEqual([failed.status >= 400, json(failed).success, json(failed).rawAiResponse], [true, false, undefined]);
  // Keys that the account's gateway keeps are not for whoever may open pages.
  for (const authorization of [undefined, "", "Bearer "])
    assert.equal((await extract([{ model: "openai/gpt-4o", authorization }])).status, 400);
});

test("[browser-rendering-25] every action by the SDK", { skip }, async () => {
  const page = { account_id, url: origin.page("sdk", EXAMPLE) };
  const [content, markdown, links, scrape, snapshot, data, screenshot, pdf] = await Promise.all([
    actions.content.create(page),
    actions.markdown.create(page),
    actions.links.create(page),
    actions.scrape.create({ ...page, elements: [{ selector: "h1" }] }),
    actions.snapshot.create(page),
    actions.json.create({
      ...page,
      prompt: "p",
      response_format: { type: "json_schema", json_schema: { type: "object", properties: { a: {} } } },
    }),
    actions.screenshot.create(page).asResponse(),
    actions.pdf.create(page),
  ]);
  assert.match(content, /Example Domain/);
  assert.match(markdown, /^# Example Domain/);
  assert.deepEqual(links, ["https://www.iana.org/domains/example"]);
  assert.equal(scrape[0]?.selector, "h1");
  assert.deepEqual(Object.keys(snapshot).sort(), ["content", "screenshot"]);
  assert.deepEqual(data, { a: "some a" });
  assert.equal((await sharp(Buffer.from(await screenshot.arrayBuffer())).metadata()).width, 1920);
  assert.equal(Buffer.from(await pdf.arrayBuffer()).toString("latin1", 0, 4), "%PDF");
});

test("[browser-rendering-45] a script makes a social card for each post of a site", { skip }, async () => {
  const directory = await temporaryDirectory("freehold-cards-");
  const base = origin.serve("social-card", (request, response) => {
    const query = new URL(request.url as string, "http://origin").searchParams;
    response
      .writeHead(200, { "content-type": "text/html" })
      .end(`<body style="background:${query.get("color")}"><h1>${query.get("title")}`);
  });
  await mkdir(join(directory, "posts"));
  for (const color of ["red", "lime"]) await writeFile(join(directory, "posts", `${color}.md`), `---\ntitle: "In ${color}"\n---\n`);
  // As the tutorial's script: the real API's address, one call after the other, one file for each.
  const script = `import { readdirSync, readFileSync, writeFileSync } from "node:fs";
    const { CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_API_TOKEN } = process.env;
    for (const file of readdirSync("posts")) {
      const slug = file.replace(/\\.md$/, "");
      const title = /^title: "(.*)"/m.exec(readFileSync("posts/" + file, "utf8"))[1];
      const answer = await fetch("https://api.cloudflare.com/client/v4/accounts/" + CLOUDFLARE_ACCOUNT_ID + "/browser-rendering/screenshot", {
        method: "POST",
        headers: { Authorization: "Bearer " + CLOUDFLARE_API_TOKEN, "Content-Type": "application/json" },
        body: JSON.stringify({ url: "${base}?" + new URLSearchParams({ title, color: slug }), viewport: { width: 1200, height: 630 }, gotoOptions: { waitUntil: "networkidle0" } }),
      });
      if (!answer.ok) throw new Error(answer.status + " " + (await answer.text()));
      writeFileSync(slug + ".png", Buffer.from(await answer.arrayBuffer()));
    }`;
  await writeFile(join(directory, "cards.mjs"), script);
  await platform.exec(process.execPath, ["cards.mjs"], { cwd: directory });
  for (const [color, dominant] of Object.entries({ red: { r: 248, g: 8, b: 8 }, lime: { r: 8, g: 248, b: 8 } })) {
    const image = sharp(join(directory, `${color}.png`));
    const { format, width, height } = await image.metadata();
    assert.deepEqual([format, width, height, (await image.stats()).dominant], ["png", 1200, 630, dominant]);
  }
});
