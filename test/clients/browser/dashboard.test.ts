/**
 * Signing in to the dashboard, and who cannot: nobody without a session, and no page of another origin, be it served by
 * this very platform and so of the same site. Hand-made requests stand for what no browser can be made to send.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Browser } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard, signInLink } from "../../harness/dashboard.ts";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());

/** Names of the account's buckets. */
const buckets = async (): Promise<string[]> =>
  (await platform.rest("GET", `/accounts/${platform.ready.account_id}/r2/buckets`)).body.result.buckets.map(
    (b: { name: string }) => b.name,
  );

/** Signs in without a browser; the session's cookie as a header. */
async function cookie(): Promise<string> {
  const [, code] = (await signInLink(platform)).split("#");
  const answer = await platform.fetch(`${platform.host("dash")}/session`, {
    method: "POST",
    headers: { "x-freehold-dashboard": "1", "content-type": "application/json" },
    body: JSON.stringify({ code }),
  });
  assert.equal(answer.status, 204);
  const set = answer.headers.get("set-cookie") ?? "";
  assert.match(set, /; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
  return set.split(";")[0] as string;
}

test("without a session no page and no operation answers, only the way to sign in", async () => {
  const dash = platform.host("dash");
  const account = platform.ready.account_id;
  for (const headers of [{}, { cookie: `freehold_${account.slice(0, 8)}=AAAA`, "x-freehold-dashboard": "1" }]) {
    for (const path of ["/", "/r2", "/r2/default/photos?prefix=a", "/anything"]) {
      const page = await platform.fetch(`${dash}${path}`, { headers });
      const to = path === "/" ? "" : `?to=${encodeURIComponent(path)}`;
      assert.deepEqual([page.status, page.headers.get("location")], [303, `/sign-in${to}`]);
    }
    for (const path of ["/client/v4/accounts", `/client/v4/accounts/${account}/r2/buckets`, `/download/accounts/${account}/r2/buckets`]) {
      const answer = await platform.fetch(`${dash}${path}`, { headers });
      assert.equal(answer.status, 401, path);
      assert.equal(((await answer.json()) as { success: boolean }).success, false);
    }
  }
  const page = await platform.fetch(`${dash}/sign-in`);
  assert.equal(page.status, 200);
  const policy = page.headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|https?:|\*/);
  assert.equal(page.headers.get("x-frame-options"), "DENY");
});

test("with its own credentials a client reaches the API at this name as at every other", async () => {
  const answer = await platform.fetch(`${platform.host("dash")}/client/v4/accounts`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  assert.equal(answer.status, 200);
});

test("the link of `freehold dash` signs in, once", { skip: noBrowser }, async () => {
  const { page, problems } = await openDashboard(platform, browser as Browser);
  assert.deepEqual(problems, []);
  assert.equal(new URL(page.url()).hash, "");
  const [session] = await page.context().cookies();
  assert.deepEqual([session?.httpOnly, session?.sameSite, session?.domain], [true, "Strict", new URL(page.url()).hostname]);

  const link = await signInLink(platform);
  const [first, second] = [await browser?.newPage(), await browser?.newPage()];
  await first?.goto(link);
  await first?.getByRole("heading", { name: "Overview" }).waitFor();
  await second?.goto(link);
  await second?.getByText(/used already or is too old/).waitFor();
  await second?.goto(new URL("/r2", link).href);
  await second?.getByRole("heading", { name: "Sign in" }).waitFor();
});

test("over TLS the cookie is for this host and for TLS alone", { skip: noBrowser }, async () => {
  const context = await (browser as Browser).newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const link = new URL(await signInLink(platform));
  link.protocol = "https:";
  link.port = new URL(platform.ready.gateway_tls).port;
  await page.goto(link.href);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  const [session] = await context.cookies();
  assert.match(session?.name ?? "", /^__Host-freehold_/);
  assert.deepEqual([session?.secure, session?.httpOnly], [true, true]);
  await context.close();
});

test("a pasted token signs in with its own rights; where the page was meant to go it goes; revoking the token ends it", {
  skip: noBrowser,
}, async () => {
  const token = await platform.token(["Workers R2 Storage Read"]);
  const page = await (browser as Browser).newPage();
  await page.goto(`${platform.host("dash")}/r2`);
  await page.getByLabel("API token").fill("not-a-token");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Invalid API Token (code 1000)").waitFor();
  await page.getByLabel("API token").fill(token.value);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "R2 object storage" }).waitFor();

  await page.getByRole("button", { name: "Create bucket" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("not-allowed");
  await dialog.getByRole("button", { name: "Create bucket" }).click();
  await dialog
    .getByRole("alert")
    .getByText(/code 10000/)
    .waitFor();
  assert.ok(!(await buckets()).includes("not-allowed"));

  await platform.rest("DELETE", `/accounts/${platform.ready.account_id}/tokens/${token.id}`);
  await page.goto(`${platform.host("dash")}/r2`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.context().close();
});

test("signing out ends the session, also for whoever kept the cookie; it survives a restart until then", { skip: noBrowser }, async () => {
  const { page } = await openDashboard(platform, browser as Browser);
  const [kept] = await page.context().cookies();
  const call = async (): Promise<number> =>
    (
      await platform.fetch(`${platform.host("dash")}/client/v4/accounts`, {
        headers: { cookie: `${kept?.name}=${kept?.value}`, "x-freehold-dashboard": "1" },
      })
    ).status;
  await platform.kill9();
  await platform.restart();
  assert.equal(await call(), 200);
  await page.reload();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(await call(), 401);
  await page.context().close();
});

test("requests that carry the cookie but do not come from the dashboard's own pages are refused and change nothing", async () => {
  const session = await cookie();
  const dash = platform.host("dash");
  const own = { cookie: session, "x-freehold-dashboard": "1", "content-type": "application/json" };
  const create = (name: string, headers: Record<string, string>) =>
    platform.fetch(`${dash}/client/v4/accounts/${platform.ready.account_id}/r2/buckets`, {
      method: "POST",
      headers,
      body: JSON.stringify({ name }),
    });
  assert.equal((await create("by-own-page", { ...own, origin: dash, "sec-fetch-site": "same-origin" })).status, 200);
  const { "x-freehold-dashboard": _, ...plain } = own;
  const foreign: Record<string, string>[] = [
    plain,
    { ...own, origin: "https://evil.example" },
    { ...own, origin: platform.host("workers", { worker: "evil", subdomain: "dev" }) },
    { ...own, origin: "null" },
    { ...own, "sec-fetch-site": "same-site" },
    { ...own, "sec-fetch-site": "cross-site" },
    // A second cookie of that name, as another host of the domain could plant one.
    { ...own, cookie: `${session}; ${session.split("=")[0]}=planted` },
  ];
  for (const [i, headers] of foreign.entries()) {
    const answer = await create(`by-foreign-page-${i}`, headers);
    assert.ok([401, 403].includes(answer.status), `${JSON.stringify(headers)} was answered ${answer.status}`);
    const preflight = await platform.fetch(`${dash}/client/v4/accounts`, {
      method: "OPTIONS",
      headers: {
        origin: "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-freehold-dashboard",
      },
    });
    assert.equal(preflight.headers.get("access-control-allow-origin"), null);
  }
  for (const method of ["POST", "DELETE"]) {
    const answer = await platform.fetch(`${dash}/session`, {
      method,
      headers: { cookie: session },
      ...(method === "POST" && { body: "{}" }),
    });
    assert.equal(answer.status, 403);
  }
  assert.deepEqual(
    (await buckets()).filter((name) => name.startsWith("by-")),
    ["by-own-page"],
  );
});

test("a page of another origin of the same site, in the browser of somebody who is signed in, neither reads nor changes anything", {
  skip: noBrowser,
}, async () => {
  const account = platform.ready.account_id;
  const dash = platform.host("dash");
  // The attacker's page comes from a public bucket of this platform.
  const { page, open } = await openDashboard(platform, browser as Browser);
  await platform.rest("POST", `/accounts/${account}/r2/buckets`, { name: "attacker" });
  const managed = await platform.rest("PUT", `/accounts/${account}/r2/buckets/attacker/domains/managed`, { enabled: true });
  const put = (key: string, body: string) =>
    platform.fetch(`/client/v4/accounts/${account}/r2/buckets/attacker/objects/${key}`, {
      method: "PUT",
      headers: {
        authorization: `Bearer ${platform.ready.api_token}`,
        "content-type": key.endsWith("js") ? "text/javascript" : "text/html",
      },
      body,
    });
  await put("evil.js", "window.ran = true;");
  const operation = `${dash}/client/v4/accounts/${account}/r2/buckets`;
  const download = `/download/accounts/${account}/r2/buckets/attacker/objects/evil.js`;
  await put(
    "page.html",
    `<form method=post enctype="text/plain" action="${operation}"><input name='{"name":"by-form","x":"' value='"}'><button>Win a prize</button></form>
     <iframe src="${dash}/r2"></iframe><script src="${dash}${download}"></script><pre></pre>
     <script>
       const attempt = (path, init) =>
         fetch("${dash}" + path, { credentials: "include", ...init }).then((answer) => answer.type + answer.status, () => "blocked");
       const header = { "x-freehold-dashboard": "1" };
       (async () => {
         const tried = {
           read: await attempt("/client/v4/accounts", {}),
           readWithHeader: await attempt("/client/v4/accounts", { headers: header }),
           download: await attempt("${download}", { mode: "no-cors" }),
           write: await attempt("/client/v4/accounts/${account}/r2/buckets", { method: "POST", mode: "no-cors", body: '{"name":"by-fetch"}' }),
           signOut: await attempt("/session", { method: "DELETE", headers: header }),
           script: window.ran === true,
         };
         document.querySelector("pre").textContent = JSON.stringify(tried);
       })();
     </script>`,
  );
  await page.goto(`http://${managed.body.result.domain}/page.html`);
  const result = page.locator("pre", { hasText: "signOut" });
  await result.waitFor();
  const tried = JSON.parse((await result.textContent()) ?? "");
  assert.deepEqual(tried, {
    read: "blocked",
    readWithHeader: "blocked",
    download: "blocked",
    write: "blocked",
    signOut: "blocked",
    script: false,
  });
  assert.deepEqual(
    page.frames().map((frame) => frame.url().replace(/\?.*/, "")),
    [page.url(), "chrome-error://chromewebdata/"],
  );
  await page.getByRole("button", { name: "Win a prize" }).click();
  await page.getByText("must come from its own pages").waitFor();
  assert.deepEqual(
    (await buckets()).filter((name) => ["by-form", "by-fetch"].includes(name)),
    [],
  );
  await open("/");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.context().close();
});
