/** Documented limits of a data point (docs, Workers Analytics Engine, Limits), and the point's form on its way to the platform. */
export interface PointLimits {
  readonly indexes: number;
  readonly blobs: number;
  readonly doubles: number;
  readonly indexBytes: number;
  /** Of all blobs of a point together. */
  readonly blobsBytes: number;
}

export const limits: PointLimits = { indexes: 1, blobs: 20, doubles: 20, indexBytes: 96, blobsBytes: 16 * 1024 };

/** Of one invocation. */
export const POINTS_MAX = 250;

/** Milliseconds since the epoch, index, blobs, doubles. JSON has no NaN: it is its name. */
export type WirePoint = readonly [number, string, readonly string[], readonly (number | "NaN" | "Infinity" | "-Infinity")[]];
