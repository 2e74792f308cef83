/** The harness itself: it must report what goes wrong, or every test above it is worth less. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runProcess, startPlatform } from "./platform.ts";
import { seeded } from "./seed.ts";

test("a platform that cannot start is reported at once, with what it printed", async () => {
  const hooks: (() => Promise<void>)[] = [];
  const started = Date.now();
  await assert.rejects(
    startPlatform({ after: (fn) => void hooks.push(fn) }, { config: { "no.such": 1 } }),
    /ended \(1\) before it was ready; it printed:\n.*unknown key "no\.such"/,
  );
  assert.ok(Date.now() - started < 10_000);
  for (const hook of hooks) await hook();
});

test("an error line of the platform fails the file, unless it was expected", async () => {
  // Real errors are hard to come by: one more listener writes such a line when it is asked to.
  const speak = `process.on("SIGUSR2", () => process.stderr.write('{"level":"error","msg":"made.up"}\\n'))`;
  for (const expected of [false, true]) {
    const hooks: (() => Promise<void>)[] = [];
    const platform = await startPlatform(
      { after: (fn) => void hooks.push(fn) },
      { env: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(speak)}` } },
    );
    if (expected) platform.expectErrors(/made\.up/);
    process.kill(platform.pid, "SIGUSR2");
    const ended = Promise.all(hooks.map((hook) => hook()));
    if (expected) await ended;
    else await assert.rejects(ended, /logged errors that the test did not expect/);
    assert.ok(platform.log.some(({ msg }) => msg === "made.up"));
  }
});

test("a program that ends with another code than expected, or not at all, is an error with its output", async () => {
  const sh = (script: string, options = {}) => runProcess("sh", ["-c", script], options);
  assert.deepEqual(await sh("cat; echo e >&2", { input: "i" }), { code: 0, stdout: "i", stderr: "e\n" });
  await assert.rejects(sh("echo out; exit 3"), /ended with 3 instead of 0[\s\S]*out/);
  assert.equal((await sh("exit 3", { code: 3 })).code, 3);
  assert.equal((await sh("exit 4", { code: "any" })).code, 4);
  await assert.rejects(sh("exit 0", { code: 1 }), /ended with 0 instead of 1/);
  await assert.rejects(runProcess("sleep", ["60"], { timeoutMs: 100 }), /not done after 100 ms/);
});

test("a seed repeats its choices", (t) => {
  const notes: string[] = [];
  const first = seeded((text) => notes.push(text));
  assert.match(notes[0] as string, new RegExp(`FREEHOLD_SEED=${first.seed}`));
  process.env.FREEHOLD_SEED = String(first.seed);
  t.after(() => delete process.env.FREEHOLD_SEED);
  const second = seeded(() => undefined);
  const draw = (random: typeof first) => [
    random.next(),
    random.integer(-5, 5),
    random.name(),
    random.bytes(4).toString("hex"),
    random.pick(["a", "b"]),
  ];
  const [one, two] = [draw(first), draw(second)];
  assert.deepEqual(one, two);
  for (let i = 0; i < 1000; i++) {
    const n = first.integer(1, 3);
    assert.ok(n >= 1 && n <= 3 && Number.isInteger(n));
  }
});
