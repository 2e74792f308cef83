/**
 * What every journal backend must do, as tests over any of them. A backend's own test file calls `journalContract`;
 * a case that a backend cannot do is skipped there by name, with the reason.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Journal, JournalEntry, JournalStore } from "./journal.ts";

export interface JournalBackend {
  /** Opens the same state again and again; the caller closes the store before it opens the next. */
  open(limits?: { segmentBytes?: number; pendingMaxBytes?: number }): Promise<JournalStore>;
}

const timeout = 60_000;

export function journalContract(
  name: string,
  backendOf: (t: TestContext) => Promise<JournalBackend>,
  skip: Readonly<Record<string, string>> = {},
): void {
  const check = (title: string, fn: (backend: JournalBackend, t: TestContext) => Promise<void>) =>
    test(`${name}: ${title}`, { skip: skip[title] ?? false, timeout }, async (t) => fn(await backendOf(t), t));
  /** A case that needs one open journal only. */
  const checkJournal = (title: string, fn: (journal: Journal, store: JournalStore) => Promise<void>) =>
    check(title, async (backend) => {
      const store = await backend.open();
      await fn(await store.open("events"), store);
      await store.close();
    });

  checkJournal("an append resolves with the offset of its first record", async (journal) => {
    assert.deepEqual([journal.start, journal.end], [0, 0]);
    assert.equal(await journal.append(text("a"), 3), 0);
    assert.equal(await journal.append(text("b"), 1), 3);
    assert.equal(await journal.append(text("c"), 7), 4);
    assert.deepEqual([journal.start, journal.end], [0, 11]);
  });

  checkJournal("a read begins with the entry that contains the offset", async (journal) => {
    await journal.append(text("a"), 3);
    await journal.append(text("b"), 1);
    await journal.append(text("c"), 7);
    assert.deepEqual(plain(await journal.read(0, 100)), [
      [0, 3, "a"],
      [3, 1, "b"],
      [4, 7, "c"],
    ]);
    assert.deepEqual(plain(await journal.read(2, 100)), plain(await journal.read(0, 100)));
    assert.deepEqual(plain(await journal.read(3, 100)), plain(await journal.read(0, 100)).slice(1));
    assert.deepEqual(plain(await journal.read(10, 100)), [[4, 7, "c"]]);
  });

  checkJournal("a read stays within maxBytes, but gives at least one entry", async (journal) => {
    for (const value of ["aaaa", "bbbb", "cccc", "dddddddddddd", "e"]) await journal.append(text(value), 1);
    const values = async (offset: number, maxBytes: number) => plain(await journal.read(offset, maxBytes)).map(([, , value]) => value);
    assert.deepEqual(await values(0, 8), ["aaaa", "bbbb"]);
    assert.deepEqual(await values(0, 9), ["aaaa", "bbbb"]);
    assert.deepEqual(await values(0, 1), ["aaaa"]);
    assert.deepEqual(await values(3, 1), ["dddddddddddd"]);
    assert.deepEqual(await values(3, 13), ["dddddddddddd", "e"]);
  });

  checkJournal("a read at the end is empty", async (journal) => {
    assert.deepEqual(await journal.read(0, 100), []);
    await journal.append(text("a"), 2);
    assert.deepEqual(await journal.read(2, 100), []);
    assert.deepEqual(await journal.read(1000, 100), []);
  });

  checkJournal("appends of one moment get offsets in the order of the calls, and each its own bytes", async (journal) => {
    const sizes = Array.from({ length: 3000 }, (_, i) => (i * 7919) % 3000);
    const offsets = await Promise.all(sizes.map((size, i) => journal.append(numbered(i, size), 1 + (i % 5))));
    let expected = 0;
    for (const [i, offset] of offsets.entries()) {
      assert.equal(offset, expected);
      expected += 1 + (i % 5);
    }
    assert.equal(journal.end, expected);
    const entries = await all(journal, 50_000);
    assert.equal(entries.length, sizes.length);
    for (const [i, entry] of entries.entries()) {
      assert.deepEqual([entry.offset, entry.count], [offsets[i], 1 + (i % 5)]);
      assert.ok(Buffer.from(entry.payload).equals(numbered(i, sizes[i] as number)), `payload ${i}`);
    }
  });

  checkJournal("entries of no bytes and of megabytes come back as they were", async (journal) => {
    const payloads = [
      Buffer.alloc(0),
      numbered(1, 1_000_000),
      numbered(2, 8192),
      numbered(3, 8193),
      Buffer.alloc(0),
      numbered(4, 9_000_001),
      text("z"),
    ];
    await Promise.all(payloads.map((payload) => journal.append(payload, 1)));
    for (const maxBytes of [1, 100_000, 2_000_000, 100_000_000]) {
      const entries = await all(journal, maxBytes);
      assert.equal(entries.length, payloads.length);
      for (const [i, entry] of entries.entries()) assert.ok(Buffer.from(entry.payload).equals(payloads[i] as Buffer), `payload ${i}`);
    }
  });

  checkJournal("the caller's bytes may change once the append has resolved", async (journal) => {
    for (const size of [100, 100_000]) {
      const payload = Buffer.alloc(size, "a");
      const offset = await journal.append(payload, 1);
      payload.fill("b");
      const [entry] = await journal.read(offset, size);
      assert.ok(Buffer.alloc(size, "a").equals(entry?.payload as Uint8Array));
    }
  });

  checkJournal("a record count that is not a whole number of at least 1 is refused and changes nothing", async (journal) => {
    for (const count of [0, -1, 1.5, Number.NaN, 2 ** 32]) await assert.rejects(journal.append(text("a"), count), RangeError);
    assert.equal(await journal.append(text("a"), 1), 0);
  });

  check("entries, start and end survive a restart, past 2^32 records too", async (backend) => {
    let end = 0;
    for (let round = 0; round < 3; round++) {
      const store = await backend.open();
      const journal = await store.open("events");
      assert.equal(journal.end, end);
      assert.equal((await all(journal, 1000)).length, round * 2);
      assert.equal(await journal.append(numbered(round, 500), 2 ** 32 - 1), end);
      assert.equal(await journal.append(numbered(round, 20_000), 1), end + 2 ** 32 - 1);
      end += 2 ** 32;
      await store.close();
    }
  });

  check("a read goes on across segments, from any offset", async (backend) => {
    const store = await backend.open({ segmentBytes: 16_384 });
    const journal = await store.open("events");
    for (let i = 0; i < 100; i++) await journal.append(numbered(i, 1000), 2);
    assert.equal((await journal.read(0, 1_000_000)).length, 100);
    for (const offset of [0, 1, 31, 32, 33, 99, 150, 199]) {
      const entries = await journal.read(offset, 3000);
      assert.equal(entries[0]?.offset, offset - (offset % 2));
      assert.equal(entries.length, Math.min(3, 100 - Math.floor(offset / 2)));
    }
    await store.close();
    const again = await backend.open({ segmentBytes: 16_384 });
    const reopened = await again.open("events");
    assert.equal((await reopened.read(121, 2000))[0]?.offset, 120);
    assert.equal((await all(reopened, 2500)).length, 100);
    await again.close();
  });

  check("trim gives back the space of whole segments before the offset", async (backend) => {
    const store = await backend.open({ segmentBytes: 16_384 });
    const journal = await store.open("events");
    for (let i = 0; i < 100; i++) await journal.append(numbered(i, 1000), 1);
    const { bytes } = journal;
    assert.ok(bytes > 100_000, `${bytes} bytes`);
    await journal.trim(0);
    assert.deepEqual([journal.start, journal.bytes], [0, bytes]);
    await Promise.all([journal.trim(60), journal.trim(30), journal.trim(60)]);
    const { start } = journal;
    assert.ok(start > 30 && start <= 60, `start ${start}`);
    assert.ok(journal.bytes < bytes / 2 + 16_384, `${journal.bytes} bytes`);
    await assert.rejects(journal.read(start - 1, 1000), { code: "journal.trimmed" });
    assert.equal((await journal.read(60, 1_000_000)).length, 40);
    await journal.trim(1_000_000);
    assert.ok(journal.start <= journal.end);
    assert.equal(await journal.append(text("next"), 1), 100);
    await store.close();
    const again = await backend.open({ segmentBytes: 16_384 });
    const reopened = await again.open("events");
    assert.ok(reopened.start > start);
    assert.deepEqual(plain(await reopened.read(100, 100)), [[100, 1, "next"]]);
    await again.close();
  });

  checkJournal("wait resolves once a record at or after the offset is durable", async (journal) => {
    const { signal } = new AbortController();
    await journal.append(text("a"), 2);
    await journal.wait(0, signal);
    await journal.wait(1, signal);
    const order: string[] = [];
    const next = journal.wait(2, signal).then(() => order.push(`2 at ${journal.end}`));
    const later = journal.wait(5, signal).then(() => order.push(`5 at ${journal.end}`));
    await journal.append(text("b"), 3);
    await next;
    assert.deepEqual(order, ["2 at 5"]);
    await journal.append(text("c"), 1);
    await later;
    assert.deepEqual(order, ["2 at 5", "5 at 6"]);
  });

  checkJournal("wait resolves when its signal aborts", async (journal) => {
    const controller = new AbortController();
    const waiting = [journal.wait(0, controller.signal), journal.wait(100, controller.signal)];
    controller.abort();
    await Promise.all(waiting);
    await journal.wait(0, controller.signal);
    assert.equal(journal.end, 0);
  });

  checkJournal("a reader that follows the appends sees each durable entry once and in order", async (journal) => {
    const total = 4000;
    const { signal } = new AbortController();
    const reader = (async () => {
      let next = 0;
      while (next < total) {
        await journal.wait(next, signal);
        for (const entry of await journal.read(next, 20_000)) {
          assert.equal(entry.offset, next);
          assert.ok(entry.offset < journal.end);
          assert.ok(Buffer.from(entry.payload).equals(numbered(next, 100 + (next % 1000))));
          next += entry.count;
        }
      }
    })();
    let sent = 0;
    const appender = async (): Promise<void> => {
      while (sent < total) {
        const i = sent++;
        assert.equal(await journal.append(numbered(i, 100 + (i % 1000)), 1), i);
      }
    };
    await Promise.all([reader, ...Array.from({ length: 20 }, appender)]);
  });

  check("appends past the bytes that may wait are refused, the others kept", async (backend) => {
    const store = await backend.open({ pendingMaxBytes: 10_000 });
    const journal = await store.open("events");
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => journal.append(numbered(i, 900), 1)));
    const kept = outcomes.flatMap((outcome, i) => (outcome.status === "fulfilled" ? [i] : []));
    assert.ok(kept.length >= 5 && kept.length <= 11, `${kept.length} kept`);
    for (const outcome of outcomes) if (outcome.status === "rejected") assert.equal(outcome.reason.code, "journal.overloaded");
    assert.deepEqual(
      (await all(journal, 100_000)).map((entry) => Buffer.from(entry.payload).readUInt32LE(0)),
      kept,
    );
    assert.equal(await journal.append(text("again"), 1), kept.length);
    await assert.rejects(journal.append(Buffer.alloc(10_001), 1), { code: "journal.tooLarge" });
    await store.close();
  });

  check("close settles what is pending and refuses what comes later", async (backend) => {
    const store = await backend.open();
    const journal = await store.open("events");
    const pending = Array.from({ length: 50 }, (_, i) => journal.append(numbered(i, 100), 1));
    const waiting = assert.rejects(journal.wait(50, new AbortController().signal), { code: "journal.closed" });
    await store.close();
    await waiting;
    assert.deepEqual(await Promise.all(pending), [...pending.keys()]);
    await assert.rejects(journal.append(text("late"), 1), { code: "journal.closed" });
    await assert.rejects(journal.read(0, 100), { code: "journal.closed" });
    await assert.rejects(store.open("events"), { code: "journal.closed" });
    await store.close();
    const again = await backend.open();
    assert.equal((await again.open("events")).end, 50);
    await again.close();
  });

  check("the same name gives the same journal, another name another one", async (backend) => {
    const store = await backend.open();
    const [first, second, other] = await Promise.all([store.open("a"), store.open("a"), store.open("a-1")]);
    assert.equal(first, second);
    await first.append(text("first"), 1);
    assert.equal(other.end, 0);
    await other.append(text("other"), 1);
    assert.deepEqual(plain(await first.read(0, 100)), [[0, 1, "first"]]);
    await store.close();
  });

  check("names that could lead elsewhere are refused", async (backend) => {
    const store = await backend.open();
    for (const name of ["", ".", "..", "../a", "a/b", "a\\b", "A", "a.b", "a_b", "a\0", "ä", "a".repeat(129)]) {
      await assert.rejects(store.open(name), { code: "journal.invalidName" });
      await assert.rejects(store.remove(name), { code: "journal.invalidName" });
    }
    await store.close();
  });

  check("a removed journal is gone, and its name begins anew", async (backend) => {
    const store = await backend.open({ segmentBytes: 16_384 });
    const journal = await store.open("events");
    await (await store.open("kept")).append(text("kept"), 1);
    const pending = Array.from({ length: 50 }, (_, i) => journal.append(numbered(i, 1000), 1));
    await Promise.all([store.remove("events"), store.remove("events"), Promise.all(pending)]);
    await assert.rejects(journal.append(text("late"), 1), { code: "journal.closed" });
    await assert.rejects(journal.read(0, 100), { code: "journal.closed" });
    const fresh = await store.open("events");
    assert.notEqual(fresh, journal);
    assert.deepEqual([fresh.start, fresh.end], [0, 0]);
    assert.equal(await fresh.append(text("new"), 1), 0);
    await store.remove("never-opened");
    await store.remove("events");
    await store.close();
    const again = await backend.open();
    assert.equal((await again.open("events")).end, 0);
    assert.equal((await again.open("kept")).end, 1);
    await again.close();
  });
}

const text = (value: string): Buffer => Buffer.from(value);

/** `size` bytes (at least 4) that differ for each number. */
export function numbered(number: number, size: number): Buffer {
  const bytes = Buffer.alloc(Math.max(4, size), number % 251);
  bytes.writeUInt32LE(number);
  return bytes;
}

const plain = (entries: readonly JournalEntry[]): [number, number, string][] =>
  entries.map((entry) => [entry.offset, entry.count, Buffer.from(entry.payload).toString()]);

/** Everything from the start on, by reads of `maxBytes`. */
export async function all(journal: Journal, maxBytes: number): Promise<JournalEntry[]> {
  const entries: JournalEntry[] = [];
  for (let next = journal.start; next < journal.end; ) {
    const some = await journal.read(next, maxBytes);
    const last = some.at(-1);
    assert.ok(last !== undefined, `nothing at ${next} before ${journal.end}`);
    assert.equal(some[0]?.offset, next);
    entries.push(...some);
    next = last.offset + last.count;
  }
  return entries;
}
