/**
 * Which snapshots and references of a table have had their time (specification, "Snapshot retention policy"). A snapshot
 * goes only if it is older than the age and not among the newest of its branch, and no kept branch or tag needs it.
 */
import { MAIN_BRANCH, type SnapshotId, snapshotById, type TableMetadata } from "./metadata.ts";
import type { TableUpdate } from "./updates.ts";

export interface Retention {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly maxAgeMs: number;
  readonly minToKeep: number;
  /** Snapshots at most, the oldest first. */
  readonly limit: number;
}

export interface Expiry {
  readonly snapshots: readonly SnapshotId[];
  readonly refs: readonly string[];
}

/** What a branch or tag says of itself comes before the retention given; main never expires. */
export function expired(metadata: TableMetadata, { now, maxAgeMs, minToKeep, limit }: Retention): Expiry {
  const refs: string[] = [];
  // The newest of all stay too: they may be on no branch, as after a rollback.
  const byAge = [...metadata.snapshots].sort((a, b) => b["timestamp-ms"] - a["timestamp-ms"]);
  const kept = new Set<SnapshotId>(byAge.slice(0, minToKeep).map((snapshot) => snapshot["snapshot-id"]));
  for (const [name, ref] of Object.entries(metadata.refs)) {
    const head = snapshotById(metadata, ref["snapshot-id"]);
    const refAge = ref["max-ref-age-ms"];
    if (name !== MAIN_BRANCH && refAge !== undefined && head !== undefined && now - head["timestamp-ms"] > refAge) {
      refs.push(name);
      continue;
    }
    kept.add(ref["snapshot-id"]);
    if (ref.type === "tag") continue;
    const [age, count] = [ref["max-snapshot-age-ms"] ?? maxAgeMs, ref["min-snapshots-to-keep"] ?? minToKeep];
    let position = 0;
    const seen = new Set<SnapshotId>();
    for (let at = head; at !== undefined && !seen.has(at["snapshot-id"]); position++) {
      seen.add(at["snapshot-id"]);
      if (position < count || now - at["timestamp-ms"] <= age) kept.add(at["snapshot-id"]);
      const parent = at["parent-snapshot-id"];
      at = parent === undefined ? undefined : snapshotById(metadata, parent);
    }
  }
  const old = byAge.filter((snapshot) => !kept.has(snapshot["snapshot-id"]) && now - snapshot["timestamp-ms"] > maxAgeMs).reverse();
  return { snapshots: old.slice(0, limit).map((snapshot) => snapshot["snapshot-id"]), refs };
}

/** The commit that carries it out. */
export function expiryUpdates({ snapshots, refs }: Expiry): TableUpdate[] {
  return [
    ...refs.map((name): TableUpdate => ({ action: "remove-snapshot-ref", "ref-name": name })),
    ...(snapshots.length > 0 ? [{ action: "remove-snapshots", "snapshot-ids": snapshots } satisfies TableUpdate] : []),
  ];
}
