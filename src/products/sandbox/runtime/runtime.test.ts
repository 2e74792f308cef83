/** What a user's Worker does not reach through the SDK's client, above all bad input and the ends of things. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { after, test } from "node:test";
import WebSocket from "ws";
import { temporaryDirectory } from "../../../../test/harness/temporary-directory.ts";
import { serve } from "./server.ts";

const workspace = await temporaryDirectory("freehold-sandbox-");
const server = await serve({ host: "127.0.0.1", port: 0, workspace, version: "1.2.3" });
after(() => server.stop());
const noInotify = spawnSync("inotifywait", ["--help"]).error !== undefined && "inotifywait is not installed";

type Answer = Record<string, unknown> & { context: Record<string, unknown> };

async function call(path: string, body?: object, method = body ? "POST" : "GET"): Promise<{ status: number; body: Answer }> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
  return { status: response.status, body: (await response.json()) as Answer };
}

async function events(path: string, body: object): Promise<Record<string, unknown>[]> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method: "POST", body: JSON.stringify(body) });
  const frames = (await response.text()).split("\n\n").filter((frame) => frame !== "");
  return frames.map((frame) => JSON.parse(frame.replace(/^data: /, "")));
}

const exec = async (command: string, options: object = {}) => (await call("/api/execute", { command, ...options })).body;

/** Resolves when there is no process of that id any more: one that was killed is there until its parent has noticed. */
async function gone(pid: string): Promise<void> {
  while ((await exec(`kill -0 ${pid}`)).exitCode === 0) await new Promise((resolve) => setTimeout(resolve, 10));
}

test("a shell keeps its directory, variables and functions; a command's own are gone after it", async () => {
  await exec("mkdir -p sub; cd sub; export KEPT=1; greet() { echo hello $1; }");
  assert.equal((await exec("pwd; greet $KEPT")).stdout, `${workspace}/sub\nhello 1\n`);
  assert.equal((await exec("pwd; echo $KEPT $OWN", { cwd: "/", env: { OWN: "a'b", KEPT: "2" } })).stdout, "/\n2 a'b\n");
  assert.equal((await exec("pwd; echo $KEPT $OWN")).stdout, `${workspace}/sub\n1\n`);
  await exec("cd ..");
});

test("what a command leaves in the background neither holds up its answer nor gets into the next one's", async () => {
  assert.equal((await exec("(sleep 0.1; echo late) & echo now")).stdout, "now\n");
  assert.equal((await exec("sleep 0.2; echo later")).stdout, "later\n");
});

test("quotes that do not end, names that are none and null bytes end in errors, and the shell lives on", async () => {
  assert.match(String((await exec("echo 'open")).stderr), /unexpected EOF/);
  assert.equal((await exec("true", { env: { "A=1; touch x #": "1" } })).code, "VALIDATION_FAILED");
  assert.equal((await exec("echo \0")).code, "INVALID_COMMAND");
  assert.equal((await exec("")).code, "INVALID_COMMAND");
  assert.equal((await exec("echo fine")).stdout, "fine\n");
  assert.equal((await call("/api/execute", {}, "PUT")).status, 500);
  const broken = await fetch(`http://127.0.0.1:${server.port}/api/execute`, { method: "POST", body: "{" });
  assert.equal(broken.status, 400);
});

test("a command that ends its shell is told as that, and the session begins anew", async () => {
  const ended = await call("/api/execute", { command: "exit 4", sessionId: "mortal" });
  assert.deepEqual([ended.status, ended.body.code, ended.body.context.exitCode], [410, "SESSION_TERMINATED", 4]);
  assert.equal((await exec("echo again", { sessionId: "mortal" })).stdout, "again\n");
});

test("deleting a session ends what runs in it", async () => {
  const running = call("/api/execute", { command: "echo $$ > pid; sleep 100", sessionId: "deleted" });
  while (!existsSync(`${workspace}/pid`)) await new Promise((resolve) => setTimeout(resolve, 10));
  await call("/api/session/delete", { sessionId: "deleted" });
  assert.equal((await running).body.code, "SESSION_DESTROYED");
  await gone("$(cat pid)");
});

test("without a session a command runs on its own and is killed at its timeout", async () => {
  const late = await exec("echo begun; sleep 100", { sessionId: "__DISABLE_SESSION__", timeoutMs: 100 });
  assert.deepEqual([late.exitCode, late.stdout], [124, "begun\n"]);
});

test("killing a process kills its group, and what it printed can still be read", async () => {
  const { body } = await call("/api/process/start", { command: "sleep 100 & echo $!; wait" });
  const id = String(body.processId);
  const logs = async () => String((await call(`/api/process/${id}/logs`)).body.stdout);
  while ((await logs()) === "") await new Promise((resolve) => setTimeout(resolve, 10));
  await call(`/api/process/${id}`, undefined, "DELETE");
  await gone((await logs()).trim());
  assert.equal(((await call(`/api/process/${id}`)).body.process as Answer).status, "killed");
  assert.equal((await call("/api/process/nobody")).body.code, "PROCESS_NOT_FOUND");
});

test("paths that are none, contents that are no base64 and encodings that nobody knows are refused", async () => {
  for (const path of ["", "a\0b", "x".repeat(4097), 7]) {
    assert.equal((await call("/api/read", { path })).body.code, "VALIDATION_FAILED", String(path).slice(0, 10));
  }
  assert.equal((await call("/api/write", { path: "a", content: "a b", encoding: "base64" })).body.code, "VALIDATION_FAILED");
  assert.equal((await call("/api/write", { path: "a", content: "a", encoding: "utf-16" })).body.code, "VALIDATION_FAILED");
  assert.equal((await call("/api/delete", { path: workspace })).body.code, "IS_DIRECTORY");
  assert.equal((await call("/api/list-files", { path: "/etc/passwd" })).body.code, "NOT_DIRECTORY");
});

test("a clone takes no options out of a URL or a branch, and its error bears no password", async () => {
  assert.equal((await call("/api/git/checkout", { repoUrl: "--upload-pack=touch x" })).body.code, "INVALID_GIT_URL");
  assert.equal((await call("/api/git/checkout", { repoUrl: "https://h/x", branch: "--upload-pack=x" })).body.code, "VALIDATION_FAILED");
  const { body } = await call("/api/git/checkout", { repoUrl: "http://user:secret@127.0.0.1:1/x.git" });
  assert.equal(body.code, "GIT_NETWORK_ERROR");
  assert.ok(!JSON.stringify(body).includes("secret"));
});

test("archives stay in their directories", async () => {
  for (const [dir, archivePath] of [
    ["/etc", "/var/backups/a.sqsh"],
    [`/tmp/../etc`, "/var/backups/a.sqsh"],
    ["/tmp", "/etc/a.sqsh"],
    ["/tmp", "/var/backups/../a.sqsh"],
  ]) {
    assert.equal((await call("/api/backup/create", { dir, archivePath })).body.code, "INVALID_BACKUP_CONFIG", archivePath);
  }
  const part = { partNumber: 1, url: "http://127.0.0.1/x", offset: 0, size: 1 };
  assert.equal(
    (await call("/api/backup/upload-parts", { archivePath: "/var/backups/a.sqsh", parts: [part] })).body.code,
    "INVALID_BACKUP_CONFIG",
  );
});

test("a run that takes too long ends with an error: Python keeps its variables, JavaScript's context is gone", async () => {
  const create = async (language: string) => String((await call("/api/contexts", { language })).body.contextId);
  const run = (context_id: string, code: string, more = {}) => events("/api/execute/code", { context_id, code, ...more });
  const python = await create("python");
  await run(python, "kept = 7");
  assert.equal((await run(python, "while True: pass", { timeout_ms: 200 })).at(-1)?.ename, "TimeoutError");
  assert.equal((await run(python, "kept"))[0]?.text, "7");
  const javascript = await create("javascript");
  assert.equal((await run(javascript, "for (;;);", { timeout_ms: 200 })).at(-1)?.ename, "TimeoutError");
  assert.equal((await call("/api/execute/code", { context_id: javascript, code: "1" })).status, 500);
  assert.equal((await call("/api/contexts", { language: "cobol" })).body.code, "VALIDATION_FAILED");
});

test("a watch stays in the workspace, and versions of others are refused", { skip: noInotify }, async () => {
  assert.equal((await call("/api/watch", { path: "/etc" })).body.code, "PERMISSION_DENIED");
  assert.equal((await call("/api/watch", { path: `${workspace}/../x` })).body.code, "PERMISSION_DENIED");
  assert.equal((await call("/api/watch", { path: ".", include: ["[a]"] })).body.code, "VALIDATION_FAILED");
  assert.equal((await call("/api/watch", { path: ".", include: ["a"], exclude: ["b"] })).body.code, "VALIDATION_FAILED");
  const { version } = (await call("/api/watch/check", { path: "." })).body;
  const since = async () => (await call("/api/watch/check", { path: ".", since: version })).body.status;
  assert.equal(await since(), "unchanged");
  await exec("touch changed");
  while ((await since()) !== "changed") await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal((await call("/api/watch/check", { path: ".", since: "mine" })).body.code, "VALIDATION_FAILED");
});

test("one WebSocket carries many requests, streams among them, and refuses what is no request", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws`);
  await once(socket, "open");
  const messages: Answer[] = [];
  const done = Promise.withResolvers<void>();
  socket.on("message", (data) => {
    messages.push(JSON.parse(String(data)));
    if (messages.filter(({ done: last, type }) => last || type === "error").length === 4) done.resolve();
  });
  const ask = (id: string, path: string, body: object) => socket.send(JSON.stringify({ type: "request", id, method: "POST", path, body }));
  ask("stream", "/api/execute/stream", { command: "echo out" });
  ask("value", "/api/execute", { command: "echo value" });
  ask("error", "/api/read", { path: "/nowhere" });
  socket.send("{");
  await done.promise;
  const of = (wanted: string) => messages.filter(({ id }) => id === wanted);
  assert.deepEqual(
    of("stream").map(({ type }) => type),
    ["stream", "stream", "stream", "response"],
  );
  assert.equal((of("value")[0]?.body as Answer | undefined)?.stdout, "value\n");
  assert.deepEqual([of("error")[0]?.status, (of("error")[0]?.body as Answer | undefined)?.code], [404, "FILE_NOT_FOUND"]);
  assert.equal(of("undefined").length, 0);
  socket.close();
  await once(socket, "close");
});
