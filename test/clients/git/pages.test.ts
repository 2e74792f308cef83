/**
 * Builds of Pages from Git: repositories are pushed with git, and the `cloudflare` SDK and wrangler see what is made of it.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import http, { type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { projectRoot, runProcess, startPlatform } from "../../harness/platform.ts";
import { missingRegistry, noBubblewrap, noHugo } from "../../harness/programs.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const noRegistry = missingRegistry();

/** What builds can reach besides public addresses: answers `/wait` when the test says so, and keeps what is posted. */
const posted: { path: string; body: unknown }[] = [];
const held: ServerResponse[] = [];
let heard = Promise.withResolvers<void>();
const outside = http.createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  if (request.url === "/wait") held.push(response);
  else {
    posted.push({ path: request.url as string, body: body === "" ? null : JSON.parse(body) });
    response.end("ok");
  }
  heard.resolve();
  heard = Promise.withResolvers();
});
outside.listen(0, "127.0.0.1");
await once(outside, "listening");
after(() => void outside.close());
const outsidePort = (outside.address() as AddressInfo).port;

/** Resolves when the server outside has heard what is asked for. */
async function until(happened: () => boolean): Promise<void> {
  while (!happened()) await heard.promise;
}

const registry = new URL((await runProcess("npm", ["config", "get", "registry"])).stdout.trim()).hostname;
const platform = await startPlatform(
  { after },
  {
    config: {
      // The registry may be a mirror of this network.
      "pages.private_hosts": [`127.0.0.1:${outsidePort}`, registry],
      "pages.build_tools": [join(projectRoot, "node_modules")],
      "notifications.private_destinations": true,
    },
  },
);
const { account_id: account, domain, api_token: token } = platform.ready;
const sdk = platform.sdk();
const port = new URL(platform.ready.gateway).port;

const at = async (label: string, path = "/"): Promise<{ status: number; body: string }> => {
  const answer = await platform.fetch(`http://${label}.pages.${domain}:${port}${path}`);
  return { status: answer.status, body: await answer.text() };
};

type Files = Readonly<Record<string, string>>;

interface Clone {
  readonly directory: string;
  git(...args: string[]): Promise<string>;
  commit(files: Files, message: string): Promise<string>;
}

const gitEnv = {
  ...process.env,
  ...{ GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1", GIT_TERMINAL_PROMPT: "0" },
  ...{ GIT_AUTHOR_NAME: "A", GIT_AUTHOR_EMAIL: "a@example.com", GIT_COMMITTER_NAME: "A", GIT_COMMITTER_EMAIL: "a@example.com" },
};

/** A working copy whose `origin` is a repository of the platform. */
async function clone(repository: string, as = token): Promise<Clone> {
  const directory = await temporaryDirectory("freehold-git-");
  const git = async (...args: string[]): Promise<string> => (await runProcess("git", args, { cwd: directory, env: gitEnv })).stdout;
  await git("init", "--quiet", "--initial-branch=main");
  await git("remote", "add", "origin", `http://anybody:${as}@git.${domain}:${port}/${repository}.git`);
  return {
    directory,
    git,
    async commit(files, message) {
      for (const [path, content] of Object.entries(files)) {
        await mkdir(dirname(join(directory, path)), { recursive: true });
        await writeFile(join(directory, path), content, { mode: 0o755 });
      }
      await git("add", "--all");
      await git("commit", "--quiet", "--allow-empty", "-m", message);
      return (await git("rev-parse", "HEAD")).trim();
    },
  };
}

interface ProjectOptions {
  readonly build?: object;
  readonly source?: object;
  readonly configs?: object;
}

async function project(name: string, repository: string, { build, source, configs }: ProjectOptions = {}): Promise<void> {
  const [owner, repo_name] = repository.split("/");
  await sdk.pages.projects.create({
    ...{ account_id: account, name, production_branch: "main" },
    build_config: { build_command: "sh build.sh", destination_dir: "out", ...build },
    source: { type: "github", config: { owner, repo_name, production_branch: "main", ...source } },
    ...(configs && { deployment_configs: configs as never }),
  } as never);
}

const deployments = async (name: string) => (await sdk.pages.projects.deployments.list(name, { account_id: account })).result;
const logOf = async (name: string, id: string): Promise<string> => {
  const { data } = await sdk.pages.projects.deployments.history.logs.get(id, { account_id: account, project_name: name });
  return (data ?? []).map(({ line }) => line).join("\n");
};

/** The newest deployment once it has ended so. */
async function ended(name: string, status = "success", count = 1) {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const all = await deployments(name);
    const [newest] = all;
    if (newest !== undefined && all.length >= count && newest.latest_stage.status !== "active" && newest.latest_stage.status !== "idle") {
      assert.equal(newest.latest_stage.status, status, await logOf(name, newest.id));
      return newest;
    }
    assert.ok(Date.now() < deadline, "the build does not end");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Processes with this command line. */
async function running(command: string): Promise<string[]> {
  const found = await Promise.all(
    (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  return found.map((line) => line.split("\0").join(" ").trim()).filter((line) => line === command);
}

/** A form that a client without a working copy sends, as deploy hooks and forges do. */
const post = async (path: string, body = "", headers: Record<string, string> = {}) => {
  const answer = await platform.fetch(`/client/v4${path}`, { method: "POST", body, headers });
  return { status: answer.status, body: (await answer.json()) as { result: Record<string, unknown>; errors: { message: string }[] } };
};

const site: Files = {
  "build.sh": `mkdir -p out
    echo "$GREETING $SECRET $CF_PAGES_BRANCH $CF_PAGES_COMMIT_SHA $CF_PAGES $CI $CF_PAGES_URL" > out/index.html
    echo "/old /new 301" > out/_redirects
    printf '/*\\n  X-Built: yes\\n' > out/_headers
    printf '\\033[31mbuilt\\033[0m on %s\\n' "$CF_PAGES_BRANCH" >&2`,
};
let acme: Clone;

before(async () => {
  if (noBubblewrap) return;
  const variables = (greeting: string) => ({
    env_vars: { GREETING: { type: "plain_text", value: greeting }, SECRET: { type: "secret_text", value: "s3cret" } },
  });
  await project("site", "acme/site", { configs: { production: variables("hello"), preview: variables("preview") } });
  acme = await clone("acme/site");
});

test("[pages-30] a push is built in the open, and its new URL answers", { skip: noBubblewrap }, async () => {
  const hash = await acme.commit(site, "first");
  await acme.git("push", "--quiet", "origin", "main");
  // The build is in the queue when git has ended.
  const [queued] = await deployments("site");
  assert.equal(queued?.deployment_trigger.metadata.commit_hash, hash);
  const made = await ended("site");
  assert.deepEqual(
    made.stages.map(({ name, status }) => `${name} ${status}`),
    ["queued success", "initialize success", "clone_repo success", "build success", "deploy success"],
  );
  const { type, metadata } = made.deployment_trigger;
  assert.deepEqual([type, metadata.branch, metadata.commit_hash, metadata.commit_message], ["github:push", "main", hash, "first"]);
  const log = await logOf("site", made.id);
  assert.match(
    log,
    /Cloning repository\.\.\.\nHEAD is now at \w+ first\nSuccess: Finished cloning[\s\S]*Executing user command: sh build\.sh\nbuilt on main\nFinished/,
  );
  assert.match(log, /Success: Your site was deployed!$/);
  const page = `hello s3cret main ${hash} 1 true ${made.url}\n`;
  assert.deepEqual(await at("site"), { status: 200, body: page });
  assert.equal((await at(`${made.short_id}.site`)).body, page);
  const redirect = await platform.fetch(`http://site.pages.${domain}:${port}/old`);
  assert.deepEqual([redirect.status, redirect.headers.get("location")], [301, "/new"]);
  assert.equal((await platform.fetch(`http://site.pages.${domain}:${port}/`)).headers.get("x-built"), "yes");

  // A branch is a preview with its alias; what was pushed can be cloned.
  await acme.git("switch", "--quiet", "-c", "fix/api");
  const fix = await acme.commit({ "more.txt": "more" }, "a branch");
  await acme.git("push", "--quiet", "origin", "fix/api");
  const preview = await ended("site", "success", 2);
  assert.equal((await at("fix-api.site")).body, `preview s3cret fix/api ${fix} 1 true ${preview.url}\n`);
  assert.equal((await at("site")).body, page);
  await acme.git("switch", "--quiet", "main");
  const copy = await clone("acme/site");
  await copy.git("pull", "--quiet", "origin", "fix/api");
  assert.equal((await copy.git("rev-parse", "HEAD")).trim(), fix);
});

test("[pages-29] a POST to a deploy hook's URL builds its branch", { skip: noBubblewrap }, async () => {
  const hooks = `/accounts/${account}/pages/projects/site/deploy_hooks`;
  const { result: hook } = (await platform.rest("POST", hooks, { name: "cms", branch: "main" })).body;
  const before = (await deployments("site")).length;
  const run = await platform.fetch(hook.url, { method: "POST" });
  assert.equal(run.status, 200);
  const made = await ended("site", "success", before + 1);
  assert.deepEqual([made.deployment_trigger.type, made.environment], ["deploy_hook", "production"]);
  assert.equal((await at(`${made.short_id}.site`)).status, 200);
  assert.deepEqual(
    (await platform.rest("GET", hooks)).body.result.map(({ name }: { name: string }) => name),
    ["cms"],
  );
  await platform.rest("DELETE", `${hooks}/${hook.id}`);
  assert.equal((await platform.fetch(hook.url, { method: "POST" })).status, 404);

  // So do the API's ways: a branch alone, and a build once more, which can be rolled back to as any other.
  const asked = await sdk.pages.projects.deployments.create("site", { account_id: account, branch: "fix/api" });
  assert.equal(asked.environment, "preview");
  await ended("site", "success", before + 2);
  await sdk.pages.projects.deployments.retry(made.id, { account_id: account, project_name: "site" });
  const again = await ended("site", "success", before + 3);
  assert.equal(again.deployment_trigger.metadata.commit_hash, made.deployment_trigger.metadata.commit_hash);
  await sdk.pages.projects.deployments.rollback(made.id, { account_id: account, project_name: "site" });
  assert.match((await at("site")).body, new RegExp(`${made.short_id}\\.site`));
});

test("[pages-35] branches, paths and messages that are excluded make no build, and two projects share a repository", {
  skip: noBubblewrap,
}, async () => {
  const build = (name: string) => ({
    build_command: "mkdir -p public && cp page.txt public/index.html",
    destination_dir: "/public",
    root_dir: `apps/${name}`,
  });
  for (const name of ["one", "two"])
    await project(name, "acme/mono", { build: build(name), source: { path_includes: [`apps/${name}/*`], path_excludes: ["*.md"] } });
  const work = await clone("acme/mono");
  await work.commit({ "apps/one/page.txt": "one", "apps/two/page.txt": "two" }, "both");
  await work.git("push", "--quiet", "origin", "main");
  await ended("one");
  await ended("two");
  assert.deepEqual([(await at("one")).body, (await at("two")).body], ["one", "two"]);

  /** How many builds each project has, once a push is done: those that it makes are in the queue then. */
  const pushed = async (files: Files, message: string, branch = "main"): Promise<number[]> => {
    await work.git("switch", "--quiet", ...(branch === "main" ? ["main"] : ["-C", branch]));
    await work.commit(files, message);
    await work.git("push", "--quiet", "origin", branch);
    return [(await deployments("one")).length, (await deployments("two")).length];
  };
  assert.deepEqual(await pushed({ "apps/one/page.txt": "one, changed" }, "one"), [2, 1]);
  assert.deepEqual(await pushed({ "apps/one/README.md": "words" }, "words"), [2, 1]);
  assert.deepEqual(await pushed({ "apps/two/page.txt": "x" }, "[CI Skip] two"), [2, 1]);
  assert.deepEqual(await pushed({}, "nothing changed"), [3, 2]);
  const rules = {
    preview_deployment_setting: "custom",
    preview_branch_includes: ["release/*", "docs/*"],
    preview_branch_excludes: ["docs/*"],
  };
  for (const name of ["one", "two"]) {
    const source = { type: "github", config: { owner: "acme", repo_name: "mono", ...rules, path_includes: ["*"] } };
    await sdk.pages.projects.edit(name, { account_id: account, source } as never);
  }
  assert.deepEqual(await pushed({ "apps/one/page.txt": "r" }, "release", "release/1"), [4, 3]);
  assert.deepEqual(await pushed({ "apps/one/page.txt": "d" }, "docs", "docs/1"), [4, 3]);
  assert.deepEqual(await pushed({ "apps/one/page.txt": "o" }, "other", "other"), [4, 3]);
  await ended("one", "success", 4);
  await ended("two", "success", 3);
});

test("[pages-34] the second build finds what the first one has cached, until the cache is cleared", { skip: noBubblewrap }, async () => {
  await project("cached", "acme/cached", { build: { build_command: "sh build.sh", build_caching: true } });
  const work = await clone("acme/cached");
  await work.commit(
    {
      "build.sh":
        'mkdir -p out "$HOME/.npm"; cat "$HOME/.npm/count" node_modules/.astro/x > out/index.html; echo more >> "$HOME/.npm/count"; mkdir -p node_modules/.astro; echo framework > node_modules/.astro/x; exit 0',
      "package.json": '{ "dependencies": {}, "keywords": ["astro"] }',
    },
    "first",
  );
  await work.git("push", "--quiet", "origin", "main");
  const first = await ended("cached");
  assert.match(await logOf("cached", first.id), /No build cache was found[\s\S]*Success: Build cache was saved/);
  assert.equal((await at("cached")).body, "");
  const again = async (count: number): Promise<string> => {
    await sdk.pages.projects.deployments.create("cached", { account_id: account });
    await ended("cached", "success", count);
    return (await at("cached")).body;
  };
  assert.equal(await again(2), "more\nframework\n");
  await sdk.pages.projects.purgeBuildCache("cached", { account_id: account });
  assert.equal(await again(3), "");
});

test("[pages-32, pages-33] samples of Hugo and React build with their presets, and a version of Node that is asked for", {
  skip: noBubblewrap || noHugo || noRegistry,
}, async () => {
  const presets = (await platform.rest("GET", `/accounts/${account}/pages/build_presets`)).body.result as Record<string, string>[];
  const preset = (name: string) => {
    const { build_command, destination_dir } = presets.find((one) => one.name === name) ?? {};
    return { build_command, destination_dir };
  };
  await project("hugo", "acme/hugo", { build: preset("Hugo") });
  const hugo = await clone("acme/hugo");
  await hugo.commit(
    {
      "hugo.toml": 'title = "A blog"\nbaseURL = "/"\ndisableKinds = ["taxonomy", "term", "RSS", "sitemap"]\n',
      "content/posts/hello.md": "---\ntitle: Hello\n---\nFrom *Hugo*.\n",
      "layouts/_default/single.html": '<h1>{{ .Title }}</h1>{{ .Content }}{{ getenv "HUGO_BRANCH" }}',
      "layouts/_default/list.html": "<h1>{{ .Title }}</h1>",
    },
    "a blog",
  );
  await hugo.git("push", "--quiet", "origin", "main");
  const react = { ...preset("React (Vite)"), root_dir: "app" };
  // One that machines do not have: theirs would do otherwise.
  const env_vars = { NODE_VERSION: { type: "plain_text", value: "21.x" } };
  await project("react", "acme/react", { build: react, configs: { production: { env_vars }, preview: {} } });
  const app = await clone("acme/react");
  const manifest = {
    private: true,
    scripts: {
      build:
        "esbuild src/app.jsx --bundle --minify --jsx=automatic --outfile=dist/app.js --log-level=warning && cp index.html dist/ && node --version > dist/version.txt",
    },
    dependencies: { esbuild: "0.25.12", react: "19.2.0", "react-dom": "19.2.0" },
  };
  await app.commit(
    {
      "app/package.json": JSON.stringify(manifest),
      "app/index.html": '<div id="root"></div><script src="/app.js"></script>',
      "app/src/app.jsx":
        'import { createRoot } from "react-dom/client";\ncreateRoot(document.getElementById("root")).render(<h1>React on {location.host}</h1>);\n',
    },
    "an app",
  );
  await app.git("push", "--quiet", "origin", "main");
  await ended("hugo");
  assert.match((await at("hugo", "/posts/hello/")).body, /<h1>Hello<\/h1><p>From <em>Hugo<\/em>\.<\/p>/);
  const made = await ended("react");
  assert.match(await logOf("react", made.id), /Installing node 21\.x[\s\S]*\nUsing node v21\.\d+/);
  assert.match((await at("react", "/version.txt")).body, /^v21\./);
  assert.match((await at("react", "/app.js")).body, /React on/);
});

test("Functions of a repository are compiled and run", { skip: noBubblewrap }, async () => {
  await project("api", "acme/api", { build: { build_command: "", destination_dir: "public" } });
  const work = await clone("acme/api");
  await work.commit(
    {
      "public/index.html": "static",
      "functions/hello/[name].js": "export const onRequest = ({ params }) => new Response('hello ' + params.name);",
    },
    "functions",
  );
  await work.git("push", "--quiet", "origin", "main");
  const made = await ended("api");
  assert.equal(made.uses_functions, true);
  assert.deepEqual([(await at("api", "/hello/you")).body, (await at("api")).body], ["hello you", "static"]);
});

test("[pages-45] a webhook hears of a deployment that failed, and not of those that its policy leaves out", {
  skip: noBubblewrap,
}, async () => {
  const url = `http://127.0.0.1:${outsidePort}/alert`;
  const webhook = await sdk.alerting.destinations.webhooks.create({ account_id: account, name: "team", url, secret: "sesame" } as never);
  await until(() => posted.some(({ path }) => path === "/alert"));
  posted.length = 0;
  const { id: project_id } = await sdk.pages.projects.get("site", { account_id: account });
  await sdk.alerting.policies.create({
    ...{ account_id: account, name: "failures", alert_type: "pages_event_alert", enabled: true },
    ...{ mechanisms: { webhooks: [{ id: webhook.id }] } },
    filters: {
      event: ["EVENT_DEPLOYMENT_FAILED"],
      project_id: [project_id],
      environment: ["ENVIRONMENT_PREVIEW", "ENVIRONMENT_PRODUCTION"],
    },
  } as never);
  await acme.git("switch", "--quiet", "-C", "broken");
  const hash = await acme.commit({ "build.sh": "echo about to fail; exit 7" }, "broken");
  const count = (await deployments("site")).length;
  await acme.git("push", "--quiet", "origin", "broken");
  const failed = await ended("site", "failure", count + 1);
  assert.deepEqual([failed.latest_stage.name, failed.latest_stage.status], ["build", "failure"]);
  assert.match(await logOf("site", failed.id), /about to fail\nFailed: Error while executing user command\. Exited with error code: 7/);
  assert.equal((await at(`${failed.short_id}.site`)).status, 404);
  await until(() => posted.length > 0);
  assert.ok(posted.length === 1 && posted[0] !== undefined);
  const { alert_type, data, text } = posted[0].body as { alert_type: string; text: string; data: Record<string, string> };
  assert.deepEqual(
    [alert_type, data.event, data.deployment_id, data.commit_hash],
    ["pages_event_alert", "EVENT_DEPLOYMENT_FAILED", failed.id, hash],
  );
  assert.match(text, /The deployment of site to preview has failed/);
  await acme.git("switch", "--quiet", "main");
});

test("a build reaches nothing of the platform, of other builds or of the machine", { skip: noBubblewrap }, async () => {
  await project("probe", "acme/probe");
  const work = await clone("acme/probe");
  const { gateway, data_dir, proxy } = platform.ready;
  await work.commit(
    {
      "build.sh": `mkdir -p out/real
        try() { echo "== $1"; shift; "$@" 2>&1; echo "-- $?"; }
        {
          try data ls ${data_dir}
          try source ls ${projectRoot}/src
          try home ls /root /home
          try shadow cat /etc/shadow
          try gateway curl --noproxy '*' -sS -m 5 ${gateway}
          try proxy curl --noproxy '*' -sS -m 5 ${proxy}
          try private curl --noproxy '' -sS -m 5 -o /dev/null -w '%{http_code}' http://127.0.0.1:${Number(new URL(gateway).port)}/
          try metadata curl -sS -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/
          try direct curl --noproxy '*' -sS -m 5 https://1.1.1.1
          try allowed curl -sS -m 20 http://127.0.0.1:${outsidePort}/from-a-build --noproxy ''
          try write sh -c 'echo x > /usr/x'
          try mount mount -t tmpfs none /mnt
          try trace sh -c 'ls /proc | grep -c "^[0-9]"'
          try root id -u
          try caps grep CapEff /proc/self/status
          try repository ls /opt/repository.git
        } > out/report.txt
        ln -s /etc/passwd out/passwd; ln -s /proc/1/environ out/environ; ln -s ../out out/real/loop; ln -s /opt/freehold/inside.mjs out/inside.txt
        (setsid sleep 98765 &)
        echo safe > out/index.html`,
    },
    "probe",
  );
  await work.git("push", "--quiet", "origin", "main");
  await ended("probe");
  const report = (await at("probe", "/report.txt")).body;
  const found = Object.fromEntries(
    [...report.matchAll(/^== (\w+)\n([\s\S]*?)-- (\d+)$/gm)].map(([, name, said, code]) => [
      name,
      { said: said ?? "", code: Number(code) },
    ]),
  );
  for (const name of ["data", "source", "shadow", "gateway", "proxy", "direct", "write", "mount", "repository"])
    assert.notEqual(found[name]?.code, 0, `${name}: ${report}`);
  for (const name of ["private", "metadata"]) assert.match(found[name]?.said ?? "", /^(403|502)$/, `${name}: ${report}`);
  assert.ok(
    posted.some(({ path }) => path === "/from-a-build"),
    report,
  );
  assert.notEqual(found.root?.said.trim(), "0");
  assert.match(found.caps?.said ?? "", /0000000000000000/);
  assert.ok(Number(found.trace?.said) < 12, report);
  // A link leads to what the build itself can see, which is no file of the machine's users.
  assert.equal((await at("probe", "/environ")).body.includes("SECRET"), false);
  const passwd = (await at("probe", "/passwd")).body;
  assert.match(passwd, /buildbot/);
  // What it left running has ended with it.
  assert.deepEqual(await running("sleep 98765"), []);
});

test("a repository elsewhere is fetched and built when its forge tells of a push", { skip: noBubblewrap }, async () => {
  const remote = {
    owner: "forge",
    repo_name: "site",
    clone_url: `http://x:${token}@git.${domain}:${port}/acme/site.git`,
    webhook_secret: "shared",
  };
  await acme.commit(site, "for the mirror");
  await acme.git("push", "--quiet", "origin", "main");
  await project("mirror", "forge/site", { source: remote });
  // What is there already is built at once.
  await ended("mirror");
  const { source } = await sdk.pages.projects.get("mirror", { account_id: account });
  const { clone_url, webhook_url } = (source ?? assert.fail()).config as unknown as Record<string, string>;
  assert.equal(clone_url, `http://git.${domain}:${port}/acme/site.git`);
  const hash = await acme.commit({ "more.txt": "again" }, "again");
  await acme.git("push", "--quiet", "origin", "main");
  const path = new URL(webhook_url as string).pathname.replace("/client/v4", "");
  const body = JSON.stringify({ ref: "refs/heads/main", after: hash });
  const signature = createHmac("sha256", "shared").update(body).digest("hex");
  for (const headers of [{}, { "x-gitlab-token": "guess" }, { "x-hub-signature-256": `sha256=${"0".repeat(64)}` }])
    assert.equal((await post(path, body, headers as Record<string, string>)).status, 403);
  assert.equal((await deployments("mirror")).filter(({ environment }) => environment === "production").length, 1);
  const told = await post(path, body, { "x-gitea-signature": signature, "content-type": "application/json" });
  assert.deepEqual([told.status, (told.body.result.builds as string[]).length], [200, 1]);
  const count = (await deployments("mirror")).length;
  const made = await ended("mirror", "success", count);
  assert.equal(made.deployment_trigger.metadata.commit_hash, hash);
  // Forges tell more than once.
  for (const headers of [{ "x-hub-signature-256": `sha256=${signature}` }, { "x-gitlab-token": "shared" }])
    assert.deepEqual((await post(path, body, headers as Record<string, string>)).body.result.builds, []);
  // A mirror is pushed to at home, and a place that is private is not fetched from.
  const copy = await clone("forge/site");
  await copy.commit({ "x.txt": "x" }, "x");
  await assert.rejects(copy.git("push", "--quiet", "origin", "main"), /403/);
  for (const url of [`http://127.0.0.1:${port}/acme/site.git`, "http://169.254.169.254/x.git"]) {
    await project("private", "private/one", { source: { clone_url: url } });
    const asked = platform.rest("POST", `/accounts/${account}/pages/projects/private/deployments`, { branch: "main" });
    assert.match((await asked).body.errors[0]?.message ?? "", /could not be fetched|refuse|403|502/i);
    await sdk.pages.projects.delete("private", { account_id: account });
  }
  for (const url of ["file:///etc", "ssh://git@example.com/x.git", "ext::sh -c id", "-oProxyCommand=id"])
    await assert.rejects(project("private", "private/one", { source: { clone_url: url } }), { status: 400 });
});

test("a push needs a token that may write, and a project's repository", { skip: noBubblewrap }, async () => {
  const reader = await platform.token(["Pages Read"]);
  const reading = await clone("acme/site", reader.value);
  await reading.git("pull", "--quiet", "origin", "main");
  await reading.commit({ "x.txt": "x" }, "x");
  await assert.rejects(reading.git("push", "--quiet", "origin", "HEAD:main"), /403/);
  await assert.rejects((await clone("acme/site", "wrong")).git("fetch", "--quiet", "origin"), /Authentication failed/);
  await assert.rejects((await clone("acme/none")).git("fetch", "--quiet", "origin"), /not found/);
  for (const path of ["/../../etc/passwd/info/refs", "/acme/site.git/../../x/info/refs", "/acme%2f..%2f..%2fx/y.git/info/refs"]) {
    const answer = await platform.fetch(`http://git.${domain}:${port}${path}?service=git-upload-pack`, {
      headers: { authorization: `Basic ${Buffer.from(`x:${token}`).toString("base64")}` },
    });
    assert.equal(answer.status, 404, path);
  }
});

test("[pages-36] builds wait for their turn, and one that a crash cuts off starts again", { skip: noBubblewrap }, async () => {
  const waits = `mkdir -p out; (setsid sleep 98767 &) ; curl -sS --noproxy '' http://127.0.0.1:${outsidePort}/wait > out/index.html`;
  for (const name of ["first", "second"]) {
    await project(name, `queue/${name}`);
    const work = await clone(`queue/${name}`);
    await work.commit({ "build.sh": waits }, name);
    await work.git("push", "--quiet", "origin", "main");
  }
  const stage = async (name: string) => {
    const { latest_stage } = (await deployments(name))[0] ?? {};
    return `${latest_stage?.name} ${latest_stage?.status}`;
  };
  await until(() => held.length === 1);
  assert.deepEqual([await stage("first"), await stage("second")], ["build active", "queued active"]);
  const [third] = await deployments("second");
  await sdk.pages.projects.deployments.create("second", { account_id: account });
  const cancel = await platform.rest("POST", `/accounts/${account}/pages/projects/second/deployments/${third?.id}/cancel`);
  assert.equal(cancel.body.result.latest_stage.status, "canceled");

  await platform.kill9();
  held.length = 0;
  await platform.restart();
  await until(() => held.length === 1);
  assert.deepEqual([await stage("first"), await stage("second")], ["build active", "queued active"]);
  assert.equal((await running("sleep 98767")).length, 1);
  held.pop()?.end("released");
  await until(() => held.length === 1);
  assert.deepEqual([await stage("first"), await stage("second")], ["deploy success", "build active"]);
  held.pop()?.end("released, too");
  await ended("second");
  assert.deepEqual([(await at("first")).body, (await at("second")).body], ["released", "released, too"]);
  assert.deepEqual(await running("sleep 98767"), []);
});

test("[pages-36] a build ends at its time limit with all its processes, and logs go after a year", {
  skip: noBubblewrap,
}, async (t) => {
  const limited = await startPlatform(t, { config: { "pages.build_timeout_s": 2, "pages.build_memory_mb": 300 } });
  const projects = `/accounts/${limited.ready.account_id}/pages/projects`;
  for (const name of ["slow", "large"]) {
    const build_config = {
      build_command: name === "slow" ? "echo started; (setsid sleep 98768 &) ; sleep 98768" : "head -c 900000000 /dev/zero | tail",
      destination_dir: "out",
    };
    await limited.rest("POST", projects, {
      name,
      production_branch: "main",
      build_config,
      source: { type: "gitlab", config: { owner: "o", repo_name: "r" } },
    });
  }
  const directory = await temporaryDirectory("freehold-git-");
  const git = (...args: string[]) => runProcess("git", args, { cwd: directory, env: gitEnv });
  await git("init", "--quiet", "--initial-branch=main");
  await git("commit", "--quiet", "--allow-empty", "-m", "empty");
  await git("push", "--quiet", `http://x:${limited.ready.api_token}@git.${domain}:${new URL(limited.ready.gateway).port}/o/r.git`, "main");
  const newest = async (name: string) => (await limited.rest("GET", `${projects}/${name}/deployments`)).body.result[0];
  const lines = async (name: string): Promise<string> => {
    const { body } = await limited.rest("GET", `${projects}/${name}/deployments/${(await newest(name)).id}/history/logs`);
    return body.result.data.map(({ line }: { line: string }) => line).join("\n");
  };
  const deadline = Date.now() + 120_000;
  for (const name of ["slow", "large"])
    while ((await newest(name)).latest_stage.status === "active") {
      assert.ok(Date.now() < deadline, `${name} does not end`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  assert.match(await lines("slow"), /Failed: Build exceeded the time limit of 2 seconds and was terminated\.$/);
  assert.equal((await newest("slow")).latest_stage.status, "failure");
  assert.match(
    await lines("large"),
    /Failed: (the build was ended because it used more than 300 MB of memory|Build exceeded the time limit)/,
  );
  assert.deepEqual(await running("sleep 98768"), []);

  await limited.stop();
  const rows = new DatabaseSync(join(limited.dir, "meta.sqlite"));
  const aged = (name: string, days: number) =>
    rows
      .prepare(
        "UPDATE pages_build_logs SET written_on = written_on - ? WHERE deployment_id IN (SELECT d.id FROM pages_deployments d JOIN pages_projects p ON p.id = d.project_id WHERE p.name = ?)",
      )
      .run(days * 24 * 3600 * 1000, name);
  aged("slow", 364);
  aged("large", 366);
  rows.close();
  await limited.restart();
  assert.match(await lines("slow"), /time limit/);
  assert.equal(await lines("large"), "");
});
