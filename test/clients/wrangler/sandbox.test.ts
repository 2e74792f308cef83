/** Needs Docker. One Worker with the package `@cloudflare/sandbox`, deployed by wrangler; every sandbox is a container of our image. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { type Asked, noSandbox, PREVIEW_ZONE, type Sandboxes, startSandboxes } from "../sandbox-world.ts";

const skip = noSandbox;
const { platform, project, sandbox, ask, lines } = skip ? ({} as Sandboxes) : await startSandboxes({ after });

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/** Resolves when the answer is as wanted; the test's own deadline is the only other way out. */
async function until(look: () => Promise<Asked>, wanted: (answer: Asked) => boolean): Promise<Asked> {
  for (;;) {
    const answer = await look();
    if (wanted(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("[sandbox-01, sandbox-38] the minimal template runs Python in an image that a Dockerfile built on ours", { skip }, async () => {
  const response = await platform.fetch(`${project.url}/run`);
  assert.deepEqual(await response.json(), { output: "4\n", error: "", exitCode: 0, success: true });
  // The Dockerfile installed it with pip.
  assert.equal((await sandbox("my-sandbox").exec("python3 -c 'import greeting; print(greeting.TEXT)'")).stdout, "hello from a wheel\n");
});

test("[sandbox-02] exec gives both outputs and the exit code; a shell that ends is told as that", { skip }, async () => {
  const box = sandbox("box");
  const failed = await box.exec("echo out; echo err >&2; bash -c 'exit 3'");
  assert.deepEqual([failed.success, failed.stdout, failed.stderr, failed.exitCode], [false, "out\n", "err\n", 3]);
  await assert.rejects(box.exec("exit 3"), { code: "SESSION_TERMINATED", message: /shell exited \(exit code: 3\)/ });
  assert.equal((await box.exec("echo on")).stdout, "on\n");
});

test("[sandbox-03] exec takes variables, a directory, input and a timeout, after which the command runs on", { skip }, async () => {
  const box = sandbox("box");
  const own = await box.exec("pwd; echo $GREETING $LEFT", { cwd: "/tmp", env: { GREETING: "it's me" } });
  assert.equal(own.stdout, "/tmp\nit's me\n");
  assert.equal((await box.exec("pwd; echo $GREETING")).stdout, "/workspace\n\n");
  // The package takes `stdin` and sends it not; the server has it.
  const fed = await ask("box", "runtime", { path: "/api/execute", body: { command: "tr a-z A-Z", stdin: "safe; $(input)" } });
  assert.equal(fed.stdout, "SAFE; $(INPUT)");
  await assert.rejects(box.exec("while [ ! -e /tmp/go ]; do sleep 0.05; done; touch /tmp/went", { timeout: 300 }), /timeout/i);
  await box.writeFile("/tmp/go", "");
  await until(
    () => box.exists("/tmp/went"),
    ({ exists }) => exists,
  );
});

test("[sandbox-04] output comes while the command runs: by callback and as events", { skip }, async () => {
  const box = sandbox("box");
  const command = (name: string) => `echo first; while [ ! -e /tmp/${name} ]; do sleep 0.05; done; echo second >&2`;
  const called = await lines("box", "output", { command: command("called") });
  assert.deepEqual(await called.next(), { stream: "stdout", data: "first\n" });
  await box.writeFile("/tmp/called", "");
  assert.deepEqual(await called.rest(), [
    { stream: "stderr", data: "second\n" },
    { stdout: "first\n", exitCode: 0 },
  ]);
  const streamed = await lines("box", "events", { method: "execStream", args: [command("streamed")] });
  assert.deepEqual([(await streamed.next()).type, (await streamed.next()).data], ["start", "first\n"]);
  await box.writeFile("/tmp/streamed", "");
  assert.deepEqual(
    (await streamed.rest()).map(({ type, data, exitCode }) => [type, data ?? exitCode]),
    [
      ["stderr", "second\n"],
      ["complete", 0],
    ],
  );
});

test("[sandbox-05, sandbox-06, sandbox-07] processes are listed, waited for, followed and killed with their group", { skip }, async () => {
  const box = sandbox("box");
  const options = { processId: "web" };
  const wait = [
    { method: "waitForPort", args: [8080, { path: "/", timeout: 20_000 }] },
    { method: "waitForLog", pattern: "GET (/\\S*)", args: [20_000] },
  ];
  const server = await ask("box", "process", { command: "python3 -u -m http.server 8080 2>&1", options, steps: wait });
  const [port, log] = server.results as [null, { line: string; match: string[] }];
  assert.deepEqual([server.result.id, port, log.match[1]], ["web", null, "/"]);
  const listed = (await box.listProcesses()) as Asked[];
  assert.deepEqual(
    listed.filter(({ status }) => status === "running").map(({ id, status }) => [id, status]),
    [["web", "running"]],
  );
  const logs = await lines("box", "events", { method: "streamProcessLogs", args: ["web"] });
  await box.exec("curl -s http://localhost:8080/followed");
  while (!String((await logs.next()).data).includes("/followed"));
  assert.match((await box.getProcessLogs("web")).stdout, /GET \/followed/);
  await box.killProcess("web");
  assert.deepEqual(
    (await logs.rest()).map(({ type, exitCode }) => [type, exitCode]),
    [["exit", 143]],
  );

  const parent = await ask("box", "process", {
    command: "sleep 300 & echo child $!; wait",
    steps: [{ method: "waitForLog", pattern: "child (\\d+)" }],
  });
  const child = (parent.results[0] as { match: string[] }).match[1];
  await box.killProcess(parent.result.id);
  await until(
    () => box.exec(`kill -0 ${child}`),
    ({ exitCode }) => exitCode !== 0,
  );

  const ended = await ask("box", "process", {
    command: "echo bye; exit 4",
    steps: [
      { method: "waitForExit", args: [] },
      { method: "waitForLog", args: ["never", 20_000] },
      { method: "waitForPort", args: [9999, { timeout: 20_000 }] },
    ],
  });
  assert.deepEqual(ended.results[0], { exitCode: 4 });
  const names = (results: Asked[]) => results.map(({ error }) => error?.name);
  assert.deepEqual(names(ended.results.slice(1)), ["ProcessExitedBeforeReadyError", "ProcessExitedBeforeReadyError"]);
  const late = [
    { method: "waitForLog", args: ["never", 300] },
    { method: "waitForPort", args: [9999, { timeout: 1000 }] },
  ];
  const slow = await ask("box", "process", { command: "sleep 300", steps: late });
  assert.deepEqual(names(slow.results), ["ProcessReadyTimeoutError", "ProcessReadyTimeoutError"]);
  assert.equal(await box.killAllProcesses(), 1);
});

test("[sandbox-08, sandbox-09, sandbox-10] files: written, read, listed, moved, deleted; PNG as base64; missing ones by name", {
  skip,
}, async () => {
  const box = sandbox("box");
  await box.mkdir("/workspace/a/b", { recursive: true });
  await box.writeFile("/workspace/a/b/text.txt", "naïve ☃\n");
  const read = await box.readFile("/workspace/a/b/text.txt");
  assert.deepEqual([read.content, read.encoding, read.mimeType], ["naïve ☃\n", "utf-8", "text/plain"]);
  const listed = await box.listFiles("/workspace/a", { recursive: true });
  assert.deepEqual(
    (listed.files as Asked[]).map(({ relativePath, type, size }) => [relativePath, type, type === "file" ? size : 0]),
    [
      ["b", "directory", 0],
      ["b/text.txt", "file", 11],
    ],
  );
  await box.renameFile("/workspace/a/b/text.txt", "/workspace/a/b/renamed.txt");
  await box.moveFile("/workspace/a/b/renamed.txt", "/workspace/moved.txt");
  assert.deepEqual(
    [(await box.exists("/workspace/moved.txt")).exists, (await box.exists("/workspace/a/b/renamed.txt")).exists],
    [true, false],
  );
  await box.deleteFile("/workspace/moved.txt");
  assert.equal((await box.exists("/workspace/moved.txt")).exists, false);
  await box.writeFile("/workspace/dot.png", PNG, { encoding: "base64" });
  const image = await box.readFile("/workspace/dot.png");
  assert.deepEqual([image.content, image.encoding, image.mimeType, image.isBinary], [PNG, "base64", "image/png", true]);
  assert.equal((await box.exec("base64 -w0 /workspace/dot.png")).stdout, PNG);
  await assert.rejects(box.readFile("/workspace/none"), { code: "FILE_NOT_FOUND" });
  await assert.rejects(box.deleteFile("/workspace/none"), { code: "FILE_NOT_FOUND" });
  await assert.rejects(box.writeFile("/workspace/x", "a", { encoding: "utf-16" }), { code: "VALIDATION_FAILED" });
});

test("[sandbox-11] gitCheckout clones by HTTP, one commit deep and by branch", { skip }, async () => {
  const box = sandbox("box");
  // Git's own server behind Python's, which knows CGI.
  await box.exec(
    [
      // Python runs programs as nobody.
      "git config --system safe.directory '*' && mkdir -p /srv/git /srv/cgi-bin && cd /srv",
      "git init -q --bare -b main git/repo.git && git -C git/repo.git config uploadpack.allowFilter true && git -C git/repo.git config uploadpack.allowAnySHA1InWant true",
      "git clone -q git/repo.git work && cd work && git config user.email a@b.c && git config user.name A",
      "for n in 1 2 3; do echo $n > file && git add file && git commit -qm $n; done && git push -q origin HEAD:main HEAD:feature",
      "printf '#!/bin/sh\\nGIT_PROJECT_ROOT=/srv/git GIT_HTTP_EXPORT_ALL=1 HOME=/tmp exec git http-backend\\n' > /srv/cgi-bin/git",
      "chmod 755 /srv/cgi-bin/git && cd /workspace",
    ].join("\n"),
  );
  const command = "cd /srv && python3 -W ignore -m http.server --cgi 8080";
  await ask("box", "process", { command, steps: [{ method: "waitForPort", args: [8080, { mode: "tcp", timeout: 20_000 }] }] });
  const url = "http://localhost:8080/cgi-bin/git/repo.git";
  const cloned = await box.gitCheckout(url, { depth: 1 });
  assert.deepEqual([cloned.branch, cloned.targetDir], ["main", "/workspace/repo"]);
  assert.equal((await box.exec("cat repo/file; git -C repo rev-list --count HEAD")).stdout, "3\n1\n");
  assert.equal((await box.gitCheckout(url, { branch: "feature", targetDir: "/workspace/other" })).branch, "feature");
  await assert.rejects(box.gitCheckout("http://localhost:8080/nowhere/none.git"), { code: "GIT_REPOSITORY_NOT_FOUND" });
});

test("[sandbox-12, sandbox-13, sandbox-14] sessions have directories and variables of their own and share files", { skip }, async () => {
  const box = sandbox("box");
  await box.exec("true");
  for (const id of ["one", "two"]) await ask("box", "session", { id, cwd: id === "one" ? "/tmp" : "/var", env: { X: id } });
  const one = sandbox("box", { session: "one" });
  const two = sandbox("box", { session: "two" });
  assert.equal((await one.exec("pwd; echo $X; cd /; echo shared > /workspace/shared")).stdout, "/tmp\none\n");
  assert.equal((await two.exec("pwd; echo $X; cat /workspace/shared")).stdout, "/var\ntwo\nshared\n");
  assert.equal((await one.exec("pwd")).stdout, "/\n");
  await box.deleteSession("two");
  await assert.rejects(box.deleteSession("sandbox-box"), {
    message: "Cannot delete default session 'sandbox-box'. Use sandbox.destroy() to terminate the sandbox.",
  });
  await box.setEnvVars({ A: "1", B: "2" });
  assert.equal((await box.exec("echo $A $B")).stdout, "1 2\n");
  // JSON has no undefined; null counts as it.
  await box.setEnvVars({ A: null });
  assert.equal((await box.exec("echo $A $B; env | grep -c ^A=")).stdout, "2\n0\n");
});

test("[sandbox-15, sandbox-18] Python keeps its variables; plots, tables and charts come as what they are", { skip }, async () => {
  const box = sandbox("box");
  const context = await box.createCodeContext({ language: "python", envVars: { FROM: "context" } });
  const run = async (code: string) => (await ask("box", "code", { code, options: { context } })) as Asked;
  await run("import os, math; radius = 5");
  assert.equal((await run("math.pi * radius ** 2")).result.results[0].text, "78.53981633974483");
  const printed = await run("print(os.environ['FROM']); import sys; print('bad', file=sys.stderr)");
  assert.deepEqual(printed.result.logs, { stdout: ["context\n"], stderr: ["bad\n"] });
  assert.deepEqual(
    printed.told.map(({ kind }: Asked) => kind),
    ["stdout", "stderr"],
  );
  const plot = await run("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [4, 5, 6], label='l')\nplt.title('Growth')\nplt.show()");
  const [figure] = plot.result.results;
  assert.equal(Buffer.from(figure.png, "base64").subarray(1, 4).toString(), "PNG");
  assert.deepEqual(
    [figure.chart.type, figure.chart.title, figure.chart.data],
    ["line", "Growth", [{ label: "l", x: [1, 2, 3], y: [4, 5, 6] }]],
  );
  const table = await run("import pandas as pd\npd.DataFrame({'name': ['a', 'b'], 'n': [1, 2]})");
  assert.match(table.result.results[0].html, /<table border="1" class="dataframe">[\s\S]*<td>b<\/td>/);
  assert.match(table.result.results[0].text, /name\s+n\n0\s+a\s+1/);
  assert.deepEqual((await run("{'a': [1, 2]}")).result.results[0].json, { a: [1, 2] });
  const { error } = (await run("1 / 0")).result;
  assert.deepEqual([error.name, error.message], ["ZeroDivisionError", "division by zero"]);
});

test("[sandbox-16] JavaScript and TypeScript keep their variables, await and show values", { skip }, async () => {
  const run = async (code: string, language: string) => (await ask("box", "code", { code, options: { language } })).result;
  await run("const x = await Promise.resolve(10); let y = 20", "javascript");
  const sum = await run("console.log('sum'); x + y", "javascript");
  assert.deepEqual([sum.results[0].text, sum.logs.stdout], ["30", ["sum\n"]]);
  await run("interface Point { x: number }\nenum Side { Left = 3 }\nconst at: Point = { x: Side.Left }", "typescript");
  assert.deepEqual((await run("at", "typescript")).results[0].json, { x: 3 });
  assert.equal((await run("null.nothing", "javascript")).error.name, "TypeError");
});

test("[sandbox-17] contexts are listed and deleted; a run over its time ends with an error", { skip }, async () => {
  const box = sandbox("timed");
  // The package sends no timeout with a run: the sandbox's own holds.
  await box.setEnvVars({ INTERPRETER_EXECUTION_TIMEOUT_MS: "1000" });
  const context = await box.createCodeContext({ language: "python" });
  const other = await box.createCodeContext({ language: "javascript", cwd: "/tmp" });
  const ids = async () => ((await box.listCodeContexts()) as Asked[]).map(({ id, language, cwd }) => [id, language, cwd]);
  assert.deepEqual(await ids(), [
    [context.id, "python", "/workspace"],
    [other.id, "javascript", "/tmp"],
  ]);
  const { error } = (await ask("timed", "code", { code: "while True: pass", options: { context } })).result;
  assert.deepEqual([error.name, error.message], ["TimeoutError", "Execution timed out after 1000ms"]);
  await box.deleteCodeContext(other.id);
  assert.equal((await ids()).length, 1);
  await assert.rejects(box.deleteCodeContext(other.id), { code: "CONTEXT_NOT_FOUND" });
});

test("[sandbox-26, sandbox-28] a terminal has a prompt and a size, is shared, and replays to who comes back", { skip }, async () => {
  const box = sandbox("terminal");
  const first = await connected("terminal", "cols=100&rows=30");
  first.type("stty size\n");
  await first.saw(/root@.*stty size\s[\s\S]*30 100\r\n/);
  first.socket.send(JSON.stringify({ type: "resize", cols: 77, rows: 11 }));
  await until(
    () => box.exec("for tty in /dev/pts/[0-9]*; do stty size < $tty; done"),
    ({ stdout }) => stdout.includes("11 77"),
  );
  const second = await connected("terminal", "");
  second.type("echo from the $((1 + 1))nd\n");
  await Promise.all([first, second].map(({ saw }) => saw(/\rfrom the 2nd\r\n/)));
  first.socket.close();
  second.socket.close();
  const again = await connected("terminal", "");
  assert.match(again.beforeReady(), /from the 2nd/);
  again.socket.send(JSON.stringify({ type: "resize", cols: 0, rows: 1 }));
  await again.told({ type: "error", message: "Invalid dimensions: cols and rows must be positive" });
  again.type("exit 5\n");
  await again.told({ type: "exit", code: 5 });
});

/** A terminal's socket, once it is ready. */
async function connected(id: string, query: string) {
  const socket = platform.webSocket(`${project.url.replace(/^http/, "ws")}/terminal?id=${id}&${query}`);
  let printed = "";
  let ready: number | undefined;
  const controls: object[] = [];
  let changed = Promise.withResolvers<void>();
  socket.on("message", (data: Buffer, binary: boolean) => {
    if (binary) printed += data.toString();
    else {
      controls.push(JSON.parse(data.toString()));
      if (data.toString().includes('"ready"')) ready = printed.length;
    }
    changed.resolve();
    changed = Promise.withResolvers();
  });
  await once(socket, "open");
  while (ready === undefined) await changed.promise;
  return {
    socket,
    type: (text: string) => socket.send(Buffer.from(text)),
    beforeReady: () => printed.slice(0, ready),
    async saw(pattern: RegExp) {
      while (!pattern.test(printed)) await changed.promise;
    },
    async told(control: object) {
      const wanted = JSON.stringify(control);
      while (!controls.some((one) => JSON.stringify(one) === wanted)) await changed.promise;
    },
  };
}

test("[sandbox-29] a watch tells what happens to files", { skip }, async () => {
  const box = sandbox("box");
  await box.exec("mkdir -p node_modules kept");
  const watch = await lines("box", "events", { method: "watch", args: ["/workspace"] });
  assert.equal((await watch.next()).type, "watching");
  await box.exec("touch node_modules/x; echo 1 > kept/a.txt; mv kept/a.txt kept/b.txt; rm kept/b.txt; mkdir end");
  const seen: string[] = [];
  for (let event = await watch.next(); ; event = await watch.next()) {
    seen.push(`${event.eventType} ${event.path}${event.isDirectory ? "/" : ""}`);
    if (event.path === "/workspace/end") break;
  }
  for (const expected of ["create", "modify", "move_from"]) assert(seen.includes(`${expected} /workspace/kept/a.txt`), seen.join("\n"));
  for (const expected of ["move_to", "delete"]) assert(seen.includes(`${expected} /workspace/kept/b.txt`), seen.join("\n"));
  assert(seen.includes("create /workspace/end/") && !seen.some((event) => event.includes("node_modules/")), seen.join("\n"));
  await watch.cancel();
  await assert.rejects(box.watch("/etc"), { code: "PERMISSION_DENIED" });
});

test("[sandbox-37] over one WebSocket, 2,000 commands pass in one request", { skip }, async () => {
  const { result } = await ask("many", "many?count=2000", undefined, { transport: "websocket" });
  assert.equal(result, (1999 * 2000) / 2);
  // Streams and failures go the same way.
  const streamed = await lines("many", "events", { method: "execStream", args: ["echo out"] }, { transport: "websocket" });
  assert.deepEqual(
    (await streamed.rest()).map(({ type }) => type),
    ["start", "stdout", "complete"],
  );
  await assert.rejects(sandbox("many", { transport: "websocket" }).readFile("/none"), { code: "FILE_NOT_FOUND" });
});

/** A request by Host header, over TLS with the platform's own authority where it is told so. */
async function hosted(url: string, secure = false): Promise<{ status: number; body: string }> {
  const { hostname: host, pathname: path } = new URL(url);
  const door = new URL(secure ? platform.ready.gateway_tls : platform.ready.gateway);
  const target = { host: door.hostname, port: door.port, path, headers: { host }, agent: false };
  const sent = secure ? https.get({ ...target, servername: host, ca: readFileSync(platform.ready.ca_file) }) : http.get(target);
  const [response] = (await once(sent, "response")) as [http.IncomingMessage];
  return { status: response.statusCode ?? 0, body: await text(response) };
}

async function servePage(id: string, port: number): Promise<void> {
  const command = `mkdir -p /srv/page && cd /srv/page && echo page of ${id} > index.html && exec python3 -m http.server ${port}`;
  const steps = [{ method: "waitForPort", args: [port, { path: "/", timeout: 20_000 }] }];
  assert.deepEqual((await ask(id, "process", { command, steps })).results, [null]);
}

test("[sandbox-19, sandbox-21, sandbox-22, sandbox-25] a preview URL on a wildcard host leads to the service, and only with its token", {
  skip,
}, async () => {
  const box = sandbox("box");
  await servePage("box", 8083);
  const { url, port, name } = await box.exposePort(8083, { hostname: PREVIEW_ZONE, name: "web" });
  const [, token = ""] = /^https:\/\/8083-box-([a-z0-9_-]{16})\.preview\.test\/$/.exec(url) ?? [];
  assert.deepEqual([port, name, token.length], [8083, "web", 16]);
  assert.deepEqual(await hosted(url), { status: 200, body: "page of box\n" });
  assert.deepEqual(await hosted(`${url}index.html`, true), { status: 200, body: "page of box\n" });
  const wrong = [url.replace(token, "a".repeat(16)), url.replace("8083", "8085"), url.replace("box", "other"), url.replace("8083", "3000")];
  for (const other of wrong) {
    const { status, body } = await hosted(other);
    assert(status >= 400 && !body.includes("page of"), `${other}: ${status} ${body}`);
  }
  assert.deepEqual([await box.validatePortToken(8083, token), await box.validatePortToken(8083, "wrong")], [true, false]);
  assert.deepEqual(
    (await box.getExposedPorts(PREVIEW_ZONE)).map((one: Asked) => [one.port, one.url]),
    [[8083, url]],
  );
  await box.unexposePort(8083);
  assert((await hosted(url)).status >= 400);
  assert.deepEqual(await box.getExposedPorts(PREVIEW_ZONE), []);
  await assert.rejects(box.exposePort(3000, { hostname: PREVIEW_ZONE }), /Invalid port number: 3000/);
  await assert.rejects(box.exposePort(8080, { hostname: "me.workers.dev" }), { name: "CustomDomainRequiredError" });
});

test("[sandbox-20, sandbox-24, sandbox-36] tokens of one's own outlive the container, IDs of previews are in lower case, destroy ends the container", {
  skip,
}, async () => {
  const box = sandbox("steady");
  const expose = (port: number) => box.exposePort(port, { hostname: PREVIEW_ZONE, token: "my_token_1" });
  await servePage("steady", 8081);
  const { url } = await expose(8081);
  assert.equal(url, "https://8081-steady-my_token_1.preview.test/");
  await assert.rejects(expose(8082), /Token 'my_token_1' is already in use by port 8081/);
  await box.writeFile("/workspace/file", "lost");
  await box.destroy();
  assert((await hosted(url)).status >= 400);
  assert.equal((await box.exists("/workspace/file")).exists, false);
  await servePage("steady", 8081);
  assert.equal((await expose(8081)).url, url);
  assert.equal((await hosted(url)).body, "page of steady\n");
  await assert.rejects(sandbox("MyBox").exposePort(8080, { hostname: PREVIEW_ZONE }), /Preview URLs require lowercase sandbox IDs/);
  const normal = await sandbox("YourBox", { normalizeId: true }).exposePort(8080, { hostname: PREVIEW_ZONE });
  assert.match(normal.url, /^https:\/\/8080-yourbox-/);
});

test("[sandbox-23] WebSockets lead to a service in the sandbox: by wsConnect and by a preview URL", { skip }, async () => {
  const box = sandbox("box");
  const server = `const { WebSocketServer } = require("/container-server/node_modules/ws");
    new WebSocketServer({ port: 8084 }).on("connection", (socket) => socket.on("message", (data) => socket.send("echo " + data)));`;
  const steps = [{ method: "waitForPort", args: [8084, { mode: "tcp", timeout: 20_000 }] }];
  await ask("box", "process", { command: `node -e '${server}'`, steps });
  const { url } = await box.exposePort(8084, { hostname: PREVIEW_ZONE });
  const door = platform.ready.gateway.replace("http", "ws");
  for (const connect of [
    () => platform.webSocket(`${project.url.replace("http", "ws")}/socket?id=box&port=8084`),
    () => platform.webSocket(door, [], { headers: { host: new URL(url).hostname } }),
  ]) {
    const socket = connect();
    await once(socket, "open");
    socket.send("hello");
    const [data] = await once(socket, "message");
    assert.equal(String(data), "echo hello");
    socket.close();
  }
});

test("[sandbox-32, sandbox-33] a backup goes to the bucket and back; what is written after that changes no backup, and it expires", {
  skip,
}, async () => {
  const box = sandbox("box");
  await box.exec("cd /workspace && mkdir -p project/src && echo one > project/src/file && echo x > project/skipped.log");
  const backup = await box.createBackup({ dir: "/workspace/project", name: "first", localBucket: true, excludes: ["*.log"] });
  assert.equal(backup.dir, "/workspace/project");
  const stored = await ask("box", `bucket?key=backups/${backup.id}/meta.json`);
  assert.deepEqual([stored.name, stored.ttl, stored.dir], ["first", 259_200, "/workspace/project"]);
  for (const round of [1, 2]) {
    await box.exec("rm -r project/*");
    const restored = await box.restoreBackup(backup);
    assert.deepEqual([restored.success, restored.id], [true, backup.id]);
    assert.equal((await box.exec("find project -type f && cat project/src/file")).stdout, "project/src/file\none\n", `round ${round}`);
    await box.exec("echo changed > project/src/file");
  }
  // What the package asks of the container when the archive comes from a signed address.
  const archivePath = "/var/backups/by-hand.sqsh";
  const byHand = (path: string, body: object) => ask("box", "runtime", { path, body: { dir: "/workspace/project", archivePath, ...body } });
  assert((await byHand("/api/backup/create", { excludes: ["**/new"] })).sizeBytes > 0);
  await box.exec("echo more > project/more");
  await byHand("/api/backup/restore", {});
  assert.equal((await box.exec("find project -type f && cat project/src/file")).stdout, "project/src/file\nchanged\n");
  const short = await box.createBackup({ dir: "/workspace/project", ttl: 61, localBucket: true });
  await until(
    () => box.restoreBackup(short).catch((error: Asked) => error),
    ({ code }) => code === "BACKUP_EXPIRED",
  );
  await assert.rejects(box.restoreBackup({ ...backup, id: "00000000-0000-4000-8000-000000000000" }), { code: "BACKUP_NOT_FOUND" });
  await assert.rejects(box.createBackup({ dir: "/etc", localBucket: true }), { code: "INVALID_BACKUP_CONFIG" });
  await assert.rejects(box.createBackup({ dir: "/workspace/nowhere", localBucket: true }), { code: "BACKUP_CREATE_FAILED" });
});

test("[sandbox-34, sandbox-35] an idle sandbox sleeps and loses its files; one that is kept alive does not", { skip }, async () => {
  const kept = sandbox("kept", { sleepAfter: "2s", keepAlive: true });
  const idle = sandbox("idle", { sleepAfter: "2s" });
  await Promise.all([kept, idle].map((box) => box.writeFile("/workspace/file", "here")));
  const status = async (id: string) => (await ask(id, "state")).status;
  await until(
    () => status("idle"),
    (now) => now !== "running" && now !== "healthy",
  );
  assert.equal((await idle.exists("/workspace/file")).exists, false);
  // It has been idle for longer than the one that sleeps.
  assert.equal((await kept.readFile("/workspace/file")).content, "here");
  await kept.setKeepAlive(false);
  await until(
    () => status("kept"),
    (now) => now !== "running" && now !== "healthy",
  );
});

test("[sandbox-44] memory that one sandbox takes beyond its own is no other's loss", { skip }, async () => {
  const neighbour = sandbox("neighbour");
  await neighbour.writeFile("/workspace/file", "here");
  // Either the program is killed, or the whole container.
  const hog = sandbox("hog", { class: "Elsewhere" });
  const end = await hog.exec("python3 -c 'x = b\"x\" * (2 << 30); print(len(x))'").catch((error: Asked) => error);
  assert(end instanceof Error || (end.exitCode === 137 && end.stdout === ""), JSON.stringify(end));
  assert.equal((await neighbour.readFile("/workspace/file")).content, "here");
});

test("a sandbox reaches no other sandbox", { skip }, async () => {
  await servePage("box", 8090);
  const address = (await sandbox("box").exec("hostname -I 2>/dev/null || grep -m1 $(hostname) /etc/hosts | cut -f1")).stdout.trim();
  assert.match(address, /^[\d.]+$/);
  const reached = await sandbox("neighbour").exec(
    `curl -s -m 2 http://${address}:8090/; curl -s -m 2 http://${address}:3000/api/version; true`,
  );
  assert.equal(reached.stdout, "");
});

test("[sandbox-40] an image of another version is told in the Worker's log", { skip }, async () => {
  const box = sandbox("older");
  // What the image says of itself.
  await box.setEnvVars({ SANDBOX_VERSION: "0.7.0" });
  await box.exec("true");
  await until(async () => platform.log.some((line) => JSON.stringify(line).includes("version_mismatch")), Boolean);
});

test("[sandbox-39] any image becomes a sandbox by one file that it copies, and its own command runs too", { skip }, async () => {
  const box = sandbox("anywhere", { class: "Elsewhere" });
  assert.equal((await box.exec("cat /tmp/started; ls /container-server | wc -l")).stdout, "own command\n4\n");
  await box.writeFile("/workspace/file", "content");
  assert.equal((await box.readFile("/workspace/file")).content, "content");
});
