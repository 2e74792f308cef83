/**
 * What every meta backend must do, as tests over any of them. A backend's own test file calls `metaContract`; a case
 * that a backend cannot do is skipped there by name, with the reason. The SQL is the common subset of `meta.ts`.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { MetaStore, MetaTransaction, SqlValue } from "./meta.ts";

/** What the kernel itself uses of a backend, beside `MetaStore`. */
export interface OpenMeta extends MetaStore {
  /** Runs statements that return nothing, all or none: for migrations. */
  script(sql: string): Promise<void>;
  /** Waits for the jobs under way, then lets go of the state. */
  close(): Promise<void>;
}

export interface MetaBackend {
  /** Opens the same state again and again; the caller closes the store before it opens the next. */
  open(): Promise<OpenMeta>;
}

const timeout = 60_000;
const schema = `
  CREATE TABLE test_account (name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0), version INTEGER NOT NULL);
  CREATE TABLE test_value (id INTEGER PRIMARY KEY, t TEXT, i INTEGER, r REAL, b BLOB);
`;

export function metaContract(
  name: string,
  backendOf: (t: TestContext) => Promise<MetaBackend>,
  skip: Readonly<Record<string, string>> = {},
): void {
  const check = (title: string, fn: (store: OpenMeta, backend: MetaBackend) => Promise<void>) =>
    test(`${name}: ${title}`, { skip: skip[title] ?? false, timeout }, async (t) => {
      const backend = await backendOf(t);
      const store = await backend.open();
      t.after(() => store.close());
      await store.script(schema);
      await fn(store, backend);
    });

  const addAccount = (store: MetaTransaction, account: string, balance: number) =>
    store.run("INSERT INTO test_account (name, balance, version) VALUES (?, ?, 0)", account, balance);
  const balanceOf = async (store: Pick<MetaStore, "get">, account: string) =>
    (await store.get<{ balance: number }>("SELECT balance FROM test_account WHERE name = ?", account))?.balance;

  // --- values and statements -------------------------------------------------------------------------------

  check("values of every type come back as they were", async (store) => {
    const rows: [string | null, number | null, number | null, Uint8Array | null][] = [
      ["", 0, 0, new Uint8Array(0)],
      ["line\nbreak ' \" ; -- ?", Number.MAX_SAFE_INTEGER, 0.1, Uint8Array.from([0, 255, 39, 59])],
      ["ünï 漢字 🦊", Number.MIN_SAFE_INTEGER, -1.5e300, new Uint8Array(3_000_000).fill(7)],
      ["x".repeat(3_000_000), -1, 2 ** -1074, null],
      [null, null, null, null],
    ];
    for (const [id, [t, i, r, b]] of rows.entries())
      await store.run("INSERT INTO test_value (id, t, i, r, b) VALUES (?, ?, ?, ?, ?)", id, t, i, r, b);
    const read = await store.all<{ id: number; t: string; i: number; r: number; b: Uint8Array | null }>(
      "SELECT * FROM test_value ORDER BY id",
    );
    assert.deepEqual(
      read.map(({ t, i, r }) => [t, i, r]),
      rows.map(([t, i, r]) => [t, i, r]),
    );
    for (const [id, row] of rows.entries()) {
      const got = read[id]?.b ?? null;
      assert.ok(row[3] === null ? got === null : got instanceof Uint8Array && Buffer.from(row[3]).equals(got), `bytes of row ${id}`);
    }
    const wide = await store.transaction((tx) => tx.get<{ b: Uint8Array }>("SELECT b FROM test_value WHERE id = ?", 1));
    assert.deepEqual(Buffer.from(wide?.b ?? []), Buffer.from([0, 255, 39, 59]));
  });

  check("values of other types are refused and nothing is stored", async (store) => {
    for (const value of [undefined, {}, () => 1, Symbol("s")] as unknown as SqlValue[])
      await assert.rejects(store.run("INSERT INTO test_value (id, t) VALUES (1, ?)", value));
    assert.deepEqual(await store.all("SELECT * FROM test_value"), []);
  });

  check("get gives the first row or undefined, all every row", async (store) => {
    for (const account of ["b", "a", "c"]) await addAccount(store, account, 1);
    assert.deepEqual({ ...(await store.get("SELECT name FROM test_account ORDER BY name")) }, { name: "a" });
    assert.equal(await store.get("SELECT name FROM test_account WHERE name = ?", "d"), undefined);
    const names = (await store.all<{ name: string }>("SELECT name FROM test_account ORDER BY name LIMIT ?", 2)).map((row) => row.name);
    assert.deepEqual(names, ["a", "b"]);
    assert.deepEqual(await store.all("SELECT name FROM test_account WHERE name = ?", "d"), []);
  });

  check("run tells how many rows it touched", async (store) => {
    assert.deepEqual(await addAccount(store, "a", 1), { changes: 1 });
    await addAccount(store, "b", 1);
    assert.deepEqual(await store.run("UPDATE test_account SET balance = 5"), { changes: 2 });
    assert.deepEqual(await store.run("UPDATE test_account SET balance = 6 WHERE name = ?", "none"), { changes: 0 });
    const upsert =
      "INSERT INTO test_account (name, balance, version) VALUES (?, ?, 0) ON CONFLICT (name) DO UPDATE SET balance = excluded.balance";
    assert.deepEqual(await store.run(upsert, "a", 9), { changes: 1 });
    assert.equal(await balanceOf(store, "a"), 9);
    const ignore = "INSERT INTO test_account (name, balance, version) VALUES (?, ?, 0) ON CONFLICT DO NOTHING";
    assert.deepEqual(await store.run(ignore, "a", 1), { changes: 0 });
    assert.deepEqual(await store.run("DELETE FROM test_account"), { changes: 2 });
  });

  check("RETURNING gives the written rows inside a transaction", async (store) => {
    const row = await store.transaction((tx) =>
      tx.get<{ name: string; balance: number }>(
        "INSERT INTO test_account (name, balance, version) VALUES (?, ?, 0) RETURNING name, balance",
        "a",
        3,
      ),
    );
    assert.deepEqual({ ...row }, { name: "a", balance: 3 });
    assert.equal(await balanceOf(store, "a"), 3);
  });

  check("wrong SQL and wrong parameters reject, and the store goes on", async (store) => {
    for (const sql of ["SELEC 1", "SELECT * FROM test_missing", "INSERT INTO test_missing VALUES (1)"]) {
      await assert.rejects(store.all(sql));
      await assert.rejects(store.get(sql));
      await assert.rejects(store.run(sql));
      await assert.rejects(store.transaction((tx) => tx.run(sql)));
      await assert.rejects(store.transaction((tx) => tx.all(sql)));
    }
    await assert.rejects(store.run("UPDATE test_account SET balance = ?", 1, 2));
    await addAccount(store, "a", 1);
    assert.equal(await balanceOf(store, "a"), 1);
  });

  check("a read outside a transaction cannot write", async (store) => {
    const insert = "INSERT INTO test_account (name, balance, version) VALUES ('a', 1, 0) RETURNING name";
    await assert.rejects(store.all(insert));
    await assert.rejects(store.get(insert));
    assert.deepEqual(await store.all("SELECT * FROM test_account"), []);
  });

  check("a script runs wholly or not at all", async (store) => {
    await assert.rejects(store.script("CREATE TABLE test_new (id INTEGER); INSERT INTO test_account VALUES ('a', 1, 0); SELEC 1;"));
    await assert.rejects(store.all("SELECT * FROM test_new"));
    assert.equal(await balanceOf(store, "a"), undefined);
    await store.script("CREATE TABLE test_new (id INTEGER); INSERT INTO test_new (id) VALUES (1); INSERT INTO test_new (id) VALUES (2);");
    assert.equal((await store.all("SELECT id FROM test_new")).length, 2);
  });

  // --- transactions ----------------------------------------------------------------------------------------

  check("a transaction sees its own writes, and nobody else does before it resolves", async (store) => {
    await addAccount(store, "a", 1);
    const gate = Promise.withResolvers<void>();
    const inside = Promise.withResolvers<void>();
    const transaction = store.transaction(async (tx) => {
      await tx.run("UPDATE test_account SET balance = 2 WHERE name = 'a'");
      await addAccount(tx, "b", 5);
      assert.equal(await balanceOf(tx, "a"), 2);
      assert.equal((await tx.all("SELECT * FROM test_account")).length, 2);
      inside.resolve();
      await gate.promise;
      return "value";
    });
    await inside.promise;
    assert.equal(await balanceOf(store, "a"), 1);
    assert.equal((await store.all("SELECT * FROM test_account")).length, 1);
    gate.resolve();
    assert.equal(await transaction, "value");
    assert.equal(await balanceOf(store, "a"), 2);
    assert.equal(await balanceOf(store, "b"), 5);
  });

  check("a throw undoes all and is what the caller gets", async (store) => {
    await addAccount(store, "a", 1);
    const failure = new Error("changed my mind");
    const undone = store.transaction(async (tx) => {
      await tx.run("UPDATE test_account SET balance = 9 WHERE name = 'a'");
      await addAccount(tx, "b", 1);
      throw failure;
    });
    await assert.rejects(undone, (error) => error === failure);
    assert.equal(await balanceOf(store, "a"), 1);
    assert.equal(await balanceOf(store, "b"), undefined);
  });

  check("a statement that breaks a constraint undoes its transaction", async (store) => {
    await addAccount(store, "a", 1);
    const broken = store.transaction(async (tx) => {
      await addAccount(tx, "b", 1);
      await tx.run("UPDATE test_account SET balance = balance - 5 WHERE name = 'a'");
    });
    await assert.rejects(broken);
    assert.equal(await balanceOf(store, "a"), 1);
    assert.equal(await balanceOf(store, "b"), undefined);
    await store.transaction((tx) => addAccount(tx, "b", 1));
    assert.equal(await balanceOf(store, "b"), 1);
  });

  check("transactions serialise: no update is lost", async (store) => {
    await addAccount(store, "a", 0);
    const increments = Array.from({ length: 100 }, () =>
      store.transaction(async (tx) => {
        const balance = (await balanceOf(tx, "a")) as number;
        await tx.run("UPDATE test_account SET balance = ? WHERE name = 'a'", balance + 1);
        return balance;
      }),
    );
    const seen = await Promise.all(increments);
    assert.equal(new Set(seen).size, 100);
    assert.equal(await balanceOf(store, "a"), 100);
  });

  check("a reader never meets half a transaction", async (store) => {
    for (let i = 0; i < 10; i++) await addAccount(store, `account-${i}`, 100);
    let transfers = 0;
    const transfer = async (n: number): Promise<void> => {
      for (let i = 0; i < 30; i++) {
        const [from, to] = [(n + i) % 10, (n * 3 + i * 7 + 1) % 10];
        await store.transaction(async (tx) => {
          const { changes } = await tx.run(
            "UPDATE test_account SET balance = balance - 10 WHERE name = ? AND balance >= 10",
            `account-${from}`,
          );
          if (changes === 1) await tx.run("UPDATE test_account SET balance = balance + 10 WHERE name = ?", `account-${to}`);
        });
        transfers++;
      }
    };
    const transferring = Promise.all([1, 2, 3, 4].map(transfer));
    while (transfers < 120) {
      const row = await store.get<{ total: number }>("SELECT CAST(SUM(balance) AS INTEGER) AS total FROM test_account");
      assert.equal(row?.total, 1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await transferring;
  });

  check("a write outside a transaction is not undone with one that waits beside it", async (store) => {
    const results = await Promise.allSettled([
      store.transaction(async (tx) => {
        await addAccount(tx, "undone", 1);
        throw new Error("undo");
      }),
      addAccount(store, "kept", 1),
      store.transaction((tx) => addAccount(tx, "kept too", 1)),
    ]);
    assert.deepEqual(
      results.map((result) => result.status),
      ["rejected", "fulfilled", "fulfilled"],
    );
    const names = (await store.all<{ name: string }>("SELECT name FROM test_account ORDER BY name")).map((row) => row.name);
    assert.deepEqual(names, ["kept", "kept too"]);
  });

  check("of single writes that wait together, each fails or succeeds by itself", async (store) => {
    const writes = Array.from({ length: 200 }, (_, i) => addAccount(store, `account-${i % 50}`, i % 7 === 6 ? -1 : i));
    const results = await Promise.allSettled(writes);
    const kept = results.flatMap((result, i) => (result.status === "fulfilled" ? [i] : []));
    assert.equal((await store.all("SELECT name FROM test_account")).length, kept.length);
    for (const i of kept) assert.equal(await balanceOf(store, `account-${i % 50}`), i);
    assert.equal(kept.length, 50);
  });

  check("a write is read by whoever asks after it has resolved", async (store) => {
    await addAccount(store, "a", 0);
    for (let i = 1; i <= 100; i++) {
      await store.run("UPDATE test_account SET balance = ? WHERE name = 'a'", i);
      assert.equal(await balanceOf(store, "a"), i);
    }
  });

  check("compare-and-swap: of writers that saw the same version one wins", async (store) => {
    await addAccount(store, "a", 0);
    for (let version = 0; version < 10; version++) {
      const swaps = Array.from({ length: 20 }, (_, i) =>
        store.run("UPDATE test_account SET balance = ?, version = version + 1 WHERE name = 'a' AND version = ?", i, version),
      );
      const won = (await Promise.all(swaps)).flatMap(({ changes }, i) => (changes === 1 ? [i] : []));
      assert.equal(won.length, 1);
      assert.equal(await balanceOf(store, "a"), won[0]);
    }
  });

  check("a transaction's handle is refused once the transaction has ended", async (store) => {
    let leaked: MetaTransaction | undefined;
    await store.transaction(async (tx) => {
      leaked = tx;
      await addAccount(tx, "a", 1);
    });
    await assert.rejects((leaked as MetaTransaction).run("UPDATE test_account SET balance = 99"));
    // Not even while another transaction is open, which it would then be part of.
    await store.transaction(async () => {
      await assert.rejects((leaked as MetaTransaction).run("UPDATE test_account SET balance = 99"));
    });
    assert.equal(await balanceOf(store, "a"), 1);
  });

  // --- life ------------------------------------------------------------------------------------------------

  check("close waits for what is under way, and refuses what comes later", async (store, backend) => {
    const pending = [addAccount(store, "a", 1), store.transaction((tx) => addAccount(tx, "b", 2)), addAccount(store, "c", 3)];
    await store.close();
    await Promise.all(pending);
    await assert.rejects(addAccount(store, "late", 1));
    await assert.rejects(store.transaction((tx) => addAccount(tx, "late", 1)));
    await assert.rejects(store.get("SELECT 1"));
    await store.close();
    const again = await backend.open();
    const rows = await again.all<{ name: string; balance: number }>("SELECT name, balance FROM test_account ORDER BY name");
    assert.deepEqual(
      rows.map((row) => [row.name, row.balance]),
      [
        ["a", 1],
        ["b", 2],
        ["c", 3],
      ],
    );
    await again.close();
  });
}
