/**
 * Sippy: which buckets copy from where when an object is asked for that they do not have (docs/r2/data-migration/sippy).
 * Configurations lie in `r2_settings`, the source's secrets sealed; all of them are in memory, so that other buckets pay
 * nothing for a miss. The reads themselves: `sippy-read.ts`.
 */
import type { Agent } from "undici";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { publicAgent } from "../../kernel/public-network.ts";
import type { SecretBox } from "../../kernel/secrets.ts";
import type { Bucket } from "./model.ts";
import { type SippySource, type SourceConfig, type SourceSecrets, sippySource } from "./sippy-source.ts";

/** What is kept and shown. */
export interface SippySetting {
  readonly source: SourceConfig & { readonly bucket?: string | undefined; readonly shownRegion?: string | undefined };
  /** The R2 key that the client gave; checked when Sippy is enabled. */
  readonly destinationKeyId: string;
  /** Sealed JSON of `SourceSecrets`. */
  readonly sealed: string;
}

export interface Sippy {
  /** Undefined when the bucket has none. */
  setting(bucketId: string): SippySetting | undefined;
  source(bucketId: string): SippySource | undefined;
  enable(bucket: Bucket, setting: Omit<SippySetting, "sealed">, secrets: SourceSecrets): Promise<void>;
  disable(bucket: Bucket): Promise<void>;
  /** A source that is not kept. */
  trial(source: SourceConfig, secrets: SourceSecrets): SippySource;
  /** The bucket is gone. */
  forget(bucketId: string): void;
  /** Runs a copy unless one of the same object, or too many, run already; false then. Ended by `stop`. */
  copy(bucketId: string, key: string, work: (signal: AbortSignal) => Promise<void>): boolean;
  stop(): Promise<void>;
}

export interface SippyDeps {
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly secrets: SecretBox;
  readonly allowPrivate: boolean;
}

const PURPOSE = "r2.sippy";
/** Copies at a time; what is asked for beyond is served and not copied. */
const COPIES_MAX = 64;

export async function openSippy({ meta, clock, secrets: box, allowPrivate }: SippyDeps): Promise<Sippy> {
  const agent: Agent = publicAgent(allowPrivate);
  const settings = new Map<string, { readonly setting: SippySetting; readonly source: SippySource }>();
  const copies = new Map<string, Promise<void>>();
  const stopping = new AbortController();

  function keep(bucketId: string, setting: SippySetting): void {
    const secrets = JSON.parse(box.open(setting.sealed, PURPOSE)) as SourceSecrets;
    settings.set(bucketId, { setting, source: sippySource(setting.source, secrets, agent, clock) });
  }
  const rows = await meta.all<{ bucket_id: string; value: string }>(
    "SELECT bucket_id, value FROM r2_settings WHERE kind = 'sippy' LIMIT 1000000",
  );
  for (const { bucket_id, value } of rows) keep(bucket_id, JSON.parse(value) as SippySetting);

  return {
    setting: (bucketId) => settings.get(bucketId)?.setting,
    source: (bucketId) => settings.get(bucketId)?.source,
    async enable(bucket, setting, secrets) {
      const stored: SippySetting = { ...setting, sealed: box.seal(JSON.stringify(secrets), PURPOSE) };
      await meta.run(
        `INSERT INTO r2_settings (bucket_id, kind, value) SELECT id, 'sippy', ? FROM r2_buckets WHERE id = ?
         ON CONFLICT (bucket_id, kind) DO UPDATE SET value = excluded.value`,
        JSON.stringify(stored),
        bucket.id,
      );
      keep(bucket.id, stored);
    },
    async disable(bucket) {
      await meta.run("DELETE FROM r2_settings WHERE bucket_id = ? AND kind = 'sippy'", bucket.id);
      settings.delete(bucket.id);
    },
    trial: (source, secrets) => sippySource(source, secrets, agent, clock),
    forget: (bucketId) => void settings.delete(bucketId),
    copy(bucketId, key, work) {
      const id = `${bucketId}/${key}`;
      if (stopping.signal.aborted || copies.has(id) || copies.size >= COPIES_MAX) return false;
      const running = work(stopping.signal).finally(() => copies.delete(id));
      copies.set(id, running);
      return true;
    },
    async stop() {
      stopping.abort();
      await Promise.allSettled(copies.values());
      await agent.destroy();
    },
  };
}
