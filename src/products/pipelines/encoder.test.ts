/** Goal: a body comes out of the threads as it does of `encodeBatch`, however many come at once. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { type EncoderOptions, openEncoder, type Schema } from "./encoder.ts";
import { parseFields } from "./fields.ts";
import { recordCheck } from "./record-check.ts";
import { encodeBatch, visitEvents } from "./records.ts";

const TIME = 1_764_000_000_000;
const fields = parseFields({
  fields: [
    { name: "id", type: "int64", required: true },
    { name: "tags", type: "list", required: false, items: { type: "string", required: true } },
  ],
});
const schema: Schema = { fields, check: recordCheck(fields) };

function encoder(t: TestContext, options: EncoderOptions = { threadBytesMin: 1 }) {
  const opened = openEncoder(options);
  t.after(() => opened.stop());
  return opened;
}

/** A body with a buffer of its own, as bodies of many chunks have. */
function bodyOf(value: unknown): Buffer {
  const text = new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
  return Buffer.from(text.buffer, text.byteOffset, text.byteLength);
}

const events = (n: number): unknown[] =>
  Array.from({ length: 500 }, (_, i) => (i % 50 === n % 50 ? { id: "none" } : { id: n * 1000 + i, tags: ["ä", `${n}`] }));

test("many bodies at once are each encoded as by themselves, drops included", async (t) => {
  const { encode } = encoder(t);
  await Promise.all(
    Array.from({ length: 40 }, async (_, n) => {
      const expected = encodeBatch(bodyOf(events(n)), schema.check, TIME);
      const batch = await encode(bodyOf(events(n)), schema, TIME);
      assert.ok(batch !== undefined && expected !== undefined);
      assert.deepEqual(Buffer.from(batch.payload), Buffer.from(expected.payload));
      assert.deepEqual([batch.count, [...(batch.errors ?? [])]], [500, [...(expected.errors ?? [])]]);
      const seen: string[] = [];
      visitEvents(batch, (text, error) => seen.push(error === undefined ? text() : error.type));
      assert.deepEqual([seen[n % 50], seen[(n + 1) % 50]], ["type_mismatch", JSON.stringify(events(n)[(n + 1) % 50])]);
    }),
  );
});

test("legacy lines, unstructured streams and empty arrays are encoded as by themselves", async (t) => {
  const { encode } = encoder(t);
  const any: Schema = { fields: undefined, check: undefined };
  const body = (): Buffer => bodyOf([1, "two", { three: 3 }]);
  assert.deepEqual(
    Buffer.from((await encode(body(), any, TIME, "plain"))?.payload as Uint8Array),
    Buffer.from(encodeBatch(body(), undefined, TIME, "plain")?.payload as Uint8Array),
  );
  assert.equal(await encode(bodyOf([]), any, TIME), undefined);
});

test("what is refused has the same error from a thread", async (t) => {
  const threads = encoder(t);
  const inline = encoder(t, { threadsMax: 0 });
  for (const body of ["[1", '{"id":1}', "[1]", `[${"[".repeat(101)}${"]".repeat(101)}]`]) {
    const refused = async ({ encode }: typeof threads): Promise<PlatformError> => {
      const error: unknown = await encode(bodyOf(body), schema, TIME).then(
        () => undefined,
        (reason) => reason,
      );
      assert.ok(error instanceof PlatformError, `${body} is refused`);
      return error;
    };
    const [there, here] = [await refused(threads), await refused(inline)];
    assert.deepEqual([there.code, there.spec, there.message], [here.code, here.spec, here.message]);
  }
});

test("stopping rejects what is not encoded yet instead of leaving it without an answer", async (t) => {
  const { encode, stop } = encoder(t);
  const one = assert.rejects(encode(bodyOf(events(1)), schema, TIME), /the encoding thread has ended/);
  await stop();
  await one;
});
