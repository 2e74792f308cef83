/**
 * Writes rows until it is killed, and prints "kind id." for each acknowledged write: "one" is a single statement,
 * "pair" a transaction that writes two rows and moves a counter.
 */
import { openSqliteMeta } from "../../src/kernel/meta/sqlite.ts";

const [path, firstId] = process.argv.slice(2) as [string, string];
const store = await openSqliteMeta({ path });
let id = Number(firstId);

async function caller(kind: "one" | "pair"): Promise<never> {
  for (;;) {
    const mine = id++;
    if (kind === "one") await store.run("INSERT INTO test_row (id, half) VALUES (?, 0)", mine);
    else
      await store.transaction(async (tx) => {
        await tx.run("INSERT INTO test_row (id, half) VALUES (?, 1)", mine);
        const counter = await tx.get<{ value: number }>("SELECT value FROM test_counter");
        await tx.run("UPDATE test_counter SET value = ?", (counter?.value ?? 0) + 1);
        await tx.run("INSERT INTO test_row (id, half) VALUES (?, 2)", mine);
      });
    process.stdout.write(`${kind} ${mine}.\n`);
  }
}
await Promise.all((["one", "one", "one", "one", "pair", "pair", "pair"] as const).map(caller));
