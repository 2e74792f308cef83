/** Bytes a second for each stream: a bucket that holds one second's worth and fills steadily. */
import type { Clock } from "../../kernel/clock.ts";

/** Whether the stream may take this many bytes now; counts them if so. `bytesPerSecond` 0: always. */
export function rateLimit(bytesPerSecond: number, clock: Clock): (stream: string, bytes: number) => boolean {
  if (bytesPerSecond === 0) return () => true;
  const buckets = new Map<string, { level: number; at: number }>();
  return (stream, bytes) => {
    const now = clock.now();
    const bucket = buckets.get(stream) ?? { level: 0, at: now };
    buckets.set(stream, bucket);
    // A clock that was set back takes nothing out, and puts nothing in.
    bucket.level = Math.max(0, bucket.level - (Math.max(0, now - bucket.at) / 1000) * bytesPerSecond);
    bucket.at = now;
    // A request that is larger than the bucket passes when the bucket is empty, or it never would.
    if (bucket.level > 0 && bucket.level + bytes > bytesPerSecond) return false;
    bucket.level += bytes;
    return true;
  };
}
