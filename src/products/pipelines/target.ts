/**
 * Where an INSERT's files go: a folder of a bucket or a table of a catalog. The reader (`reader.ts`) decides what a roll
 * holds and when; a target makes it visible, exactly once for each range of offsets.
 */

import type { WrittenFile } from "../../kernel/duckdb/parquet.ts";
import type { FileIdentity } from "./naming.ts";

/** What was made visible of a roll. */
export interface Delivered {
  readonly rows: number;
  readonly bytes: number;
}

/** What the file of a roll must be written with. */
export interface Prepared {
  /** DuckDB's FIELD_IDS. */
  readonly fieldIds?: string;
}

export interface Target {
  /** Events whose times of ingest differ in this text never share a file. */
  partitionOf(time: number): string;
  /**
   * Before each roll: throws when the sink's credentials do not hold any more, or the destination is gone. Gives what the
   * file must be written with.
   */
  prepare(): Promise<Prepared>;
  /**
   * What was delivered of this range by a run that ended before it could say so; undefined when the target cannot tell or
   * nothing was. Called once, for the roll that a crash left behind.
   */
  delivered(file: FileIdentity): Promise<Delivered | undefined>;
  /** Makes the file visible; takes the local file. Repeating it for the same identity changes nothing but bytes. */
  deliver(written: WrittenFile, file: FileIdentity): Promise<void>;
}
