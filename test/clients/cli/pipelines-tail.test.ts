/** `freehold pipelines tail`, as scripts and people use it, and the door behind it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, type TestContext, test } from "node:test";
import { launcher, runProcess, startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { keys, openTerminal } from "../../harness/terminal.ts";
import { eventFields, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);
const stream = await world.stream("tailed_stream", eventFields);

interface Line {
  readonly kind: string;
  readonly time: string;
  readonly [member: string]: unknown;
}

/** The command with --json, and its lines one after the other. */
function tail(t: TestContext, name: string): { child: ChildProcess; next(): Promise<Line>; ended: Promise<number | null> } {
  const child = spawn(process.execPath, [launcher, "pipelines", "tail", name, "--json", "--data", platform.dir], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit").then(([code]) => code as number | null);
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  return {
    child,
    ended,
    async next() {
      const { value, done } = await lines.next();
      assert.ok(!done, "the tail has ended");
      return JSON.parse(value as string) as Line;
    },
  };
}

const withoutTime = ({ time, ...rest }: Line): object => {
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 600_000);
  return rest;
};

test("scripts get a line for each event and each drop, by id and by name, until they end it", async (t) => {
  const byName = tail(t, "tailed_stream");
  const byId = tail(t, stream.id);
  for (const one of [byName, byId])
    assert.deepEqual(withoutTime(await one.next()), { kind: "start", stream: { id: stream.id, name: "tailed_stream" } });
  const bad = { user_id: 7, event_type: "x" };
  await world.ingest(stream.endpoint, [sampleEvents[0], bad]);
  // As it was sent: digits that a number does not hold, line breaks between tokens.
  const exact = '[{"user_id":"a",\n"event_type":"line\\nbreak","n":12345678901234567890}]';
  assert.equal((await world.send(stream.endpoint, exact)).status, 200);
  for (const one of [byName, byId]) {
    assert.deepEqual(withoutTime(await one.next()), { kind: "event", event: sampleEvents[0] });
    assert.deepEqual(withoutTime(await one.next()), {
      kind: "drop",
      error: "type_mismatch",
      message: 'field "user_id": expected string, got number',
      event: bad,
    });
    assert.deepEqual((await one.next()).event, JSON.parse(exact)[0]);
  }
  byName.child.kill("SIGINT");
  assert.equal(await byName.ended, 0);
  // What is not accepted is not shown: the next line is the next event.
  assert.equal((await world.send(stream.endpoint, "{")).status, 400);
  await world.ingest(stream.endpoint, [sampleEvents[1]]);
  assert.deepEqual((await byId.next()).event, sampleEvents[1]);
});

test("people get columns as wide as their terminal, and nothing that steers it", { skip: noPython }, async (t) => {
  const command = [process.execPath, launcher, "pipelines", "tail", "tailed_stream", "--data", platform.dir];
  const terminal = openTerminal(t, platform, command, { cwd: platform.dir });
  await terminal.expect(`tailed_stream (${stream.id})`);
  const long = { user_id: "u".repeat(500), event_type: "\x9b2J\u202e" };
  await world.ingest(stream.endpoint, [{ event_type: "view" }, { user_id: "short\x9b", event_type: "x" }, long]);
  await terminal.expect(/\d\d:\d\d:\d\d\.\d{3} {2}missing_field {2}missing required field "user_id": \{"event_type":"view"\}\n/);
  await terminal.expect(/event {10}\{"user_id":"short\\u009b","event_type":"x"\}\n/);
  const [line] = await terminal.expect(/\d\d:\d\d:\d\d\.\d{3} {2}event {10}\{"user_id":"u+…\n/);
  assert.ok(line.length <= 151, String(line.length));
  terminal.send(keys.interrupt);
  assert.equal(await terminal.ended, 0);
});

test("a reader that is slow is told how many events it missed, and ingest does not wait for it", async (t) => {
  const loose = await world.stream("busy_stream");
  const slow = tail(t, "busy_stream");
  assert.equal((await slow.next()).kind, "start");
  slow.child.kill("SIGSTOP");
  const batch = Array.from({ length: 90 }, (_, i) => ({ i, text: "x".repeat(10_000) }));
  const sent = 20;
  for (let n = 0; n < sent; n++) await world.ingest(loose.endpoint, batch);
  slow.child.kill("SIGCONT");
  let [seen, skipped] = [0, 0];
  while (seen + skipped < sent * batch.length) {
    const line = await slow.next();
    if (line.kind === "event") seen++;
    else skipped += line.count as number;
  }
  assert.equal(seen + skipped, sent * batch.length);
  assert.ok(seen > 0 && skipped > 0, `${seen} seen, ${skipped} skipped`);
});

test("a tail wants a token that may read pipelines, and a stream that exists", async () => {
  const path = (name: string): string => `${world.base}/streams/${name}/tail`;
  assert.equal((await platform.fetch(`/client/v4${path(stream.id)}`)).status, 401);
  for (const group of ["Workers Pipelines Send", "Workers R2 Storage Write", "Account Analytics Read"])
    assert.equal((await platform.rest("GET", path(stream.id), undefined, (await platform.token([group])).value)).status, 403, group);
  assert.equal((await platform.rest("GET", path("no_such_stream"))).body.errors[0]?.code, 1016);
  const reader = await platform.token(["Workers Pipelines Read"]);
  const answer = await platform.fetch(`/client/v4${path("tailed_stream")}`, { headers: { authorization: `Bearer ${reader.value}` } });
  assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "application/x-ndjson"]);
  await answer.body?.cancel();
  const { stderr } = await runProcess(process.execPath, [launcher, "pipelines", "tail", "no_such_stream", "--data", platform.dir], {
    code: 1,
  });
  assert.match(stderr, /^freehold: Stream "no_such_stream" cannot be tailed: Stream does not exist \(1016\)[^\n]*\n$/);
});

test("tails end with their stream, and do not keep the platform from stopping", async (t) => {
  const gone = await world.stream("gone_stream");
  const [deleted, stopped] = [tail(t, "gone_stream"), tail(t, "tailed_stream")];
  await Promise.all([deleted.next(), stopped.next()]);
  await platform.rest("DELETE", `${world.base}/streams/${gone.id}`);
  assert.equal(await deleted.ended, 1);
  await platform.stop();
  assert.equal(await stopped.ended, 1);
});
