/** What the parts of R2 work with: the product's slice of the kernel, and the two services of its own. */
import type { BlobStore } from "../../kernel/blobs/blobs.ts";
import type { BlobLeases } from "../../kernel/blobs/leases.ts";
import type { QueueSender } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Config } from "../../kernel/config.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { WriteRate } from "../../kernel/write-rate.ts";
import type { CommitQueue } from "./commit-queue.ts";
import type { Garbage } from "./garbage.ts";
import type { HashPool } from "./hash-pool.ts";
import type { LocalCopies } from "./local-copies.ts";
import type { Notifications } from "./notifications.ts";
import type { Sippy } from "./sippy.ts";
import type { UsageCounter } from "./usage.ts";

export interface R2 {
  readonly log: Log;
  readonly clock: Clock;
  readonly config: Config;
  readonly meta: MetaStore;
  readonly blobs: BlobStore;
  readonly accountId: string;
  readonly commits: CommitQueue;
  readonly garbage: Garbage;
  readonly leases: BlobLeases;
  readonly hashes: HashPool;
  readonly copies: LocalCopies;
  readonly usage: UsageCounter;
  readonly notifications: Notifications;
  readonly audit: KernelSlice["audit"];
  readonly rate: WriteRate;
  readonly announce: QueueSender["announce"];
  readonly sippy: Sippy;
  /** Who else keeps files in buckets, by a bucket's name (`Objects.guard`). */
  readonly guards: ((bucket: string) => Promise<boolean>)[];
}
