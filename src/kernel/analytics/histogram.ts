/**
 * Durations by how long they took, for quantiles: a counter table has one row for each bucket, with the number and the sum
 * of the durations in it. A bucket is an eighth of a doubling wide, so that a quantile is right within nine percent.
 */
const PER_DOUBLING = 8;

/** The bucket of a duration in milliseconds. */
export const bucketOf = (durationMs: number): number => Math.round(Math.log2(Math.max(durationMs, 0.001)) * PER_DOUBLING);

/** What a counter adds for a duration: whole microseconds. */
export const microseconds = (durationMs: number): number => Math.max(0, Math.round(durationMs * 1000));
