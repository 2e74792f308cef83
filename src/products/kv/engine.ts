/** The parts of KV that bindings and REST work on. */
import type { BlobStore } from "../../kernel/blobs/blobs.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { WriteRate } from "../../kernel/write-rate.ts";
import type { Entries } from "./entries.ts";
import type { Namespaces } from "./namespaces.ts";

export interface KvEngine {
  readonly entries: Entries;
  readonly namespaces: Namespaces;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly rate: WriteRate;
}
