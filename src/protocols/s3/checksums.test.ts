import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { type ChecksumAlgorithm, checksum, combineCrc64Nvme, compositeChecksum } from "./checksums.ts";

const of = (algorithm: ChecksumAlgorithm, data: Uint8Array): Buffer => {
  const digest = checksum(algorithm);
  digest.update(data);
  return digest.digest();
};

test("gives the catalogued check values of 123456789", () => {
  const data = Buffer.from("123456789");
  assert.equal(of("crc32", data).toString("hex"), "cbf43926");
  assert.equal(of("crc32c", data).toString("hex"), "e3069283");
  assert.equal(of("crc64nvme", data).toString("hex"), "ae8b14860a799888");
  assert.equal(of("sha1", data).toString("hex"), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
});

test("gives the published CRC-32C of the streaming example", () => {
  assert.equal(of("crc32c", Buffer.alloc(66_560, "a")).toString("base64"), "sOO8/Q==");
});

test("does not depend on how the data is cut", () => {
  const data = randomBytes(10_007);
  for (const algorithm of ["crc32", "crc32c", "crc64nvme"] as const) {
    const whole = of(algorithm, data).toString("hex");
    for (const step of [1, 3, 8, 1000]) {
      const digest = checksum(algorithm);
      for (let at = 0; at < data.length; at += step) digest.update(data.subarray(at, at + step));
      assert.equal(digest.digest().toString("hex"), whole, `${algorithm} in steps of ${step}`);
    }
  }
});

test("CRC-64/NVME of parts combines to that of the whole", () => {
  const data = randomBytes(100_000);
  for (const size of [1, 7, 4096, 33_333, 99_999, 100_000]) {
    const parts = [];
    for (let at = 0; at < data.length && parts.length < 300; at += size) parts.push(data.subarray(at, at + size));
    const combined = combineCrc64Nvme(parts.map((part) => ({ checksum: of("crc64nvme", part), size: part.length })));
    assert.equal(combined.toString("hex"), of("crc64nvme", Buffer.concat(parts)).toString("hex"), `parts of ${size}`);
  }
  const empty = { checksum: of("crc64nvme", Buffer.alloc(0)), size: 0 };
  assert.equal(
    combineCrc64Nvme([{ checksum: of("crc64nvme", data), size: data.length }, empty]).toString("hex"),
    of("crc64nvme", data).toString("hex"),
  );
});

test("a composite checksum names the number of parts", () => {
  const parts = [Buffer.from("a"), Buffer.from("b")].map((part) => of("sha256", part));
  assert.equal(compositeChecksum("sha256", parts), `${of("sha256", Buffer.concat(parts)).toString("base64")}-2`);
});
