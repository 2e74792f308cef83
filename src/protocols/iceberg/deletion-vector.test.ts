/** Deletion vectors against bitmaps of another implementation (pyroaring 1.2.0), and blobs that are none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { deletionVectorBlob, readDeletionVector, VECTOR_ROWS_MAX } from "./deletion-vector.ts";
import { IcebergError, type IcebergErrorKind } from "./errors.ts";
import type { ContentFile } from "./manifests.ts";

/** The rows of a mask. */
const rowsOf = (mask: Uint8Array): number[] =>
  [...mask].flatMap((byte, i) => [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (0x80 >> bit)).map((bit) => 8 * i + bit));
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

const FOREIGN: readonly (readonly [string, readonly number[]])[] = [
  [
    "0000003ad1d339640100000000000000000000003a3000000300000000000200010000000300000020000000260000002800000000000100050070113f0de696286d",
    [0, 1, 5, 70_000, 199_999],
  ],
  ["0000001fd1d339640100000000000000000000003b300000010000130001000a00130064eedd2b", range(10, 30)],
  [
    "00000063d1d339640100000000000000000000003b30060041000013000100000002000000030000000400000005000000060063003d000000430000004500000047000000490000004b0000004d00000001000a001300030003000300030003000100801a6300f547f9d2",
    [...range(10, 30), ...[1, 2, 3, 4, 5].map((k) => 65_536 * k + 3), ...range(400_000, 400_100)],
  ],
  ["0000000cd1d339640000000000000000bf18480c", []],
];

/** A blob around a serialized bitmap. */
function wrap(bitmap: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from("d1d33964", "hex"), bitmap]);
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  return Buffer.concat([number(body.length), body, number(crc32(body))]);
}

const throwsKind = (kind: IcebergErrorKind, run: () => unknown, text = ""): void =>
  assert.throws(run, (error) => error instanceof IcebergError && error.kind === kind && error.message.includes(text));

test("arrays, runs and offsets of foreign bitmaps become masks", () => {
  for (const [hex, rows] of FOREIGN) {
    const { mask, cardinality } = readDeletionVector(Buffer.from(hex, "hex"), { rows: 1_000_000, cardinality: rows.length });
    assert.deepEqual(rowsOf(mask), rows);
    assert.equal(cardinality, rows.length);
    assert.equal(mask.length, Math.ceil(((rows.at(-1) ?? -1) + 1) / 8));
  }
});

test("a dense container is a bitmap", () => {
  const head = Buffer.from("0100000000000000000000003a30000001000000", "hex");
  const container = Buffer.alloc(8);
  container.writeUInt16LE(0, 0);
  container.writeUInt16LE(32_767, 2);
  const blob = wrap(Buffer.concat([head, container, Buffer.alloc(8192, 0b01010101)]));
  const { mask } = readDeletionVector(blob, { rows: 65_536, cardinality: 32_768 });
  assert.deepEqual(
    rowsOf(mask),
    range(0, 32_768).map((n) => 2 * n),
  );
});

test("what is damaged, or not of this data file, is refused", () => {
  const [hex, rows] = FOREIGN[0] as (typeof FOREIGN)[0];
  const blob = (): Buffer => Buffer.from(hex, "hex");
  const expected = { rows: 200_000, cardinality: rows.length };
  throwsKind("corrupt", () => readDeletionVector(blob().subarray(0, -1), expected), "length");
  throwsKind("corrupt", () => readDeletionVector(new Uint8Array(), expected), "length");
  for (let i = 0; i < blob().length; i++) {
    const damaged = blob();
    damaged[i] = (damaged[i] as number) ^ 0x10;
    throwsKind("corrupt", () => readDeletionVector(damaged, expected));
  }
  throwsKind("corrupt", () => readDeletionVector(blob(), { ...expected, cardinality: 4 }), "manifest says");
  throwsKind("corrupt", () => readDeletionVector(blob(), { ...expected, rows: 199_999 }), "199999");
  throwsKind("unsupported", () => readDeletionVector(blob(), { ...expected, rows: VECTOR_ROWS_MAX + 1 }));
  // Checksums right, contents wrong.
  const bitmap = blob().subarray(8, -4);
  for (let i = 0; i < bitmap.length; i++) throwsKind("corrupt", () => readDeletionVector(wrap(bitmap.subarray(0, i)), expected));
  throwsKind("corrupt", () => readDeletionVector(wrap(Buffer.concat([bitmap, Buffer.alloc(1)])), expected), "after its end");
  throwsKind("corrupt", () => readDeletionVector(wrap(Buffer.alloc(8, 0xff)), expected));
  const far =
    "00000038d1d339640200000000000000000000003a3000000100000000000000100000000500010000003a3000000100000000000000100000000700e0d86a3b";
  throwsKind("corrupt", () => readDeletionVector(Buffer.from(far, "hex"), { rows: 100, cardinality: 2 }), "4294967303");
});

test("a manifest's entry says where the blob lies", () => {
  const file: ContentFile = {
    content: "position-deletes",
    path: "s3://b/dv.puffin",
    format: "PUFFIN",
    partition: new Map(),
    recordCount: 3,
    fileSize: 400,
    referencedDataFile: "s3://b/data.parquet",
    contentOffset: 4,
    contentSizeInBytes: 50,
  };
  assert.deepEqual(deletionVectorBlob(file), {
    path: "s3://b/dv.puffin",
    offset: 4,
    length: 50,
    dataFile: "s3://b/data.parquet",
    cardinality: 3,
  });
  assert.equal(deletionVectorBlob({ ...file, format: "PARQUET" }), undefined);
  const { contentOffset: _, ...without } = file;
  throwsKind("corrupt", () => deletionVectorBlob(without), "where it lies");
  throwsKind("corrupt", () => deletionVectorBlob({ ...file, contentSizeInBytes: 2 ** 40 }), "bytes");
});
