/**
 * Kept answers (docs/ai-search/configuration/cache): found again by words that their queries share. MinHash in bands (LSH)
 * picks who may be like a query, and the shingles themselves tell how like. An answer goes with any item that it was given from.
 */
import type { Store } from "./store.ts";

const HASHES = 64;
const ROWS = 2;
const LOOKED_AT_MAX = 200;

/** The least values of the shingles under so many hash functions. */
function signature(shingles: readonly number[]): number[] {
  return Array.from({ length: HASHES }, (_, n) => {
    const factor = (Math.imul(n + 1, 0x9e3779b1) | 1) >>> 0;
    let least = 0xffffffff;
    for (const shingle of shingles) {
      let mixed = Math.imul(shingle ^ factor, 0x85ebca6b);
      mixed ^= mixed >>> 13;
      mixed = Math.imul(mixed, factor);
      mixed ^= mixed >>> 16;
      if (mixed >>> 0 < least) least = mixed >>> 0;
    }
    return least;
  });
}

function bandsOf(scope: string, shingles: readonly number[]): string[] {
  const values = signature(shingles);
  return Array.from({ length: HASHES / ROWS }, (_, band) => `${scope}:${band}:${values.slice(band * ROWS, (band + 1) * ROWS).join(".")}`);
}

/** What two sets have in common of what both have. */
function jaccard(a: readonly number[], b: ReadonlySet<number>): number {
  const common = a.filter((one) => b.has(one)).length;
  return a.length + b.size === 0 ? 1 : common / (a.length + b.size - common);
}

export function findAnswer(store: Store, scope: string, shingles: readonly number[], least: number, now: number): string | null {
  const bands = bandsOf(scope, shingles);
  const rows = store.all<{ shingles: string; answer: string }>(
    `SELECT shingles, answer FROM answers WHERE expires > ? AND number IN
       (SELECT answer FROM answer_bands WHERE band IN (${bands.map(() => "?").join(", ")})) LIMIT ?`,
    ...[now, ...bands, LOOKED_AT_MAX],
  );
  const asked = new Set(shingles);
  let best: { readonly alike: number; readonly answer: string } | undefined;
  for (const { shingles: given, answer } of rows) {
    const alike = jaccard(JSON.parse(given) as number[], asked);
    if (alike >= least && alike > (best?.alike ?? 0)) best = { alike, answer };
  }
  return best?.answer ?? null;
}

export function keepAnswer(
  store: Store,
  {
    scope,
    shingles,
    answer,
    chunks,
    expires,
    now,
  }: {
    readonly scope: string;
    readonly shingles: readonly number[];
    readonly answer: string;
    readonly chunks: readonly string[];
    readonly expires: number;
    readonly now: number;
  },
  max: number,
): void {
  store.transaction(() => {
    const items = new Set<number>();
    for (const chunk of chunks) {
      const row = store.row(chunk.slice(0, chunk.lastIndexOf("-")));
      // What it was given from is gone already.
      if (row === undefined) return;
      items.add(row.number);
    }
    store.forgetAnswers(store.all<{ number: number }>("SELECT number FROM answers WHERE expires <= ?", now).map(({ number }) => number));
    const { lastInsertRowid: number } = store.run(
      "INSERT INTO answers (scope, shingles, answer, expires) VALUES (?, ?, ?, ?)",
      ...[scope, JSON.stringify(shingles), answer, expires],
    );
    for (const band of bandsOf(scope, shingles)) store.run("INSERT OR IGNORE INTO answer_bands (band, answer) VALUES (?, ?)", band, number);
    for (const item of items) store.run("INSERT OR IGNORE INTO answer_items (item, answer) VALUES (?, ?)", item, number);
    const old = store.all<{ number: number }>("SELECT number FROM answers ORDER BY number DESC LIMIT -1 OFFSET ?", max);
    store.forgetAnswers(old.map((one) => one.number));
  });
}
