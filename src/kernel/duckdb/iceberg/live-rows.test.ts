/** Rows that are written anew: what is deleted stays out, and rows of version 3 keep their ids through any number of rewrites. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ContentFile } from "../../../protocols/iceberg/manifests.ts";
import type { NestedField } from "../../../protocols/iceberg/types.ts";
import { literal, openDuckDb } from "../engine.ts";
import { copyToParquet } from "../parquet.ts";
import { fieldIds } from "./field-ids.ts";
import { type FileOfTable, LINEAGE, liveRows, readParquet } from "./live-rows.ts";

const fields: NestedField[] = [{ id: 1, name: "id", required: false, type: "long" }];
const file = (path: string, sequenceNumber: number, firstRowId?: number): FileOfTable => {
  const content: ContentFile = { content: "data", path, format: "PARQUET", partition: new Map(), recordCount: 3, fileSize: 1 };
  return { sequenceNumber, file: firstRowId === undefined ? content : { ...content, firstRowId } };
};

test("row ids and ages outlive rewrites; rows of deletion vectors do not", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "live-rows-"));
  const db = await openDuckDb({ directories: [directory], spill: join(directory, "spill"), memoryMb: 128, threads: 1 });
  t.after(async () => {
    await db.close();
    await rm(directory, { recursive: true });
  });
  const local = (location: string): string => join(directory, location);
  const masks = new Map([["b", local("b.mask")]]);
  const files = { local, mask: (location: string) => masks.get(location) };
  await writeFile(local("b.mask"), Buffer.of(0b01000000));
  await db.use(async (connection) => {
    for (const [name, from] of [
      ["a", 10],
      ["b", 20],
    ] as const)
      await connection.run(
        `COPY (SELECT range AS id FROM range(${from}, ${from + 3})) TO ${literal(local(name))} (FORMAT parquet, FIELD_IDS {id: 1})`,
      );
    const rewrite = async (data: readonly FileOfTable[], output: string): Promise<void> => {
      const sql = liveRows({ table: "t", fields, data, positionDeletes: [], equalityDeletes: [], files, lineage: true });
      const options = { compression: "zstd", rowGroupBytes: 1024, rowBytes: 8, fieldIds: fieldIds([...fields, ...LINEAGE]) };
      await copyToParquet(connection, sql, local(output), options, t.signal);
    };
    await rewrite([file("a", 4, 100), file("b", 5, 200)], "once");
    await rewrite([file("once", 9, 1000)], "twice");
    const found = await connection.all<Record<string, bigint>>(
      `SELECT id, _row_id, _last_updated_sequence_number AS age FROM ${readParquet([...fields, ...LINEAGE], [file("twice", 1)], files)} ORDER BY id`,
    );
    assert.deepEqual(
      found.map((row) => [row.id, row._row_id, row.age].map(Number)),
      [
        [10, 100, 4],
        [11, 101, 4],
        [12, 102, 4],
        [20, 200, 5],
        [22, 202, 5],
      ],
    );
    // Rows without ids (of a table that was upgraded) get them with their new file.
    await rewrite([file("a", 4)], "none");
    const none = await connection.get<{ n: bigint }>(
      `SELECT count(_row_id) + count(_last_updated_sequence_number) AS n FROM ${readParquet([...fields, ...LINEAGE], [file("none", 1)], files)}`,
    );
    assert.equal(none?.n, 0n);
  });
});
