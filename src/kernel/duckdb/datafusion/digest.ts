/** Hashes that DuckDB has not, as a function in JavaScript: for instances that run DataFusion's `digest`. */
import { createHash } from "node:crypto";
import { BLOB, DuckDBBlobValue, DuckDBScalarFunction, VARCHAR } from "@duckdb/node-api";
import { blake3 } from "@noble/hashes/blake3.js";

/** Name of the function in SQL: (bytes BLOB, algorithm VARCHAR) → BLOB. */
export const DIGEST = "__freehold_digest";

export const digestAlgorithms: readonly string[] = ["md5", "sha224", "sha256", "sha384", "sha512", "blake2s", "blake2b", "blake3"];

/** Names that OpenSSL gives the algorithms with another one. */
const openSsl: Readonly<Record<string, string>> = { blake2s: "blake2s256", blake2b: "blake2b512" };

const digest = (algorithm: string, bytes: Uint8Array): Uint8Array =>
  algorithm === "blake3"
    ? blake3(bytes)
    : createHash(openSsl[algorithm] ?? algorithm)
        .update(bytes)
        .digest();

/** Made anew for each instance: an instance takes ownership. */
export const digestFunction = (): DuckDBScalarFunction =>
  DuckDBScalarFunction.create({
    name: DIGEST,
    returnType: BLOB,
    parameterTypes: [BLOB, VARCHAR],
    mainFunction(_info, input, output) {
      const [bytes, algorithms] = [input.getColumnVector(0), input.getColumnVector(1)];
      for (let i = 0; i < input.rowCount; i++) {
        const value = bytes.getItem(i) as DuckDBBlobValue | null;
        const algorithm = algorithms.getItem(i) as string | null;
        output.setItem(i, value === null || algorithm === null ? null : new DuckDBBlobValue(digest(algorithm, value.bytes)));
      }
      output.flush();
    },
  });
