/** Which version of a gradual deployment has an object. Both sides of the process border ask it. */
import type { ObjectSplit } from "../../kernel/object-split.ts";

/** The version's id. `objectId`: 64 hex digits, of which those looked at come from a name's hash or are random. */
export function ownerOf({ shares }: ObjectSplit, objectId: string): string | undefined {
  let point = (Number.parseInt(objectId.slice(16, 24), 16) / 2 ** 32) * 100;
  for (const { versionId, percentage } of shares) {
    point -= percentage;
    if (point < 0) return versionId;
  }
  return shares.at(-1)?.versionId;
}

/** A process of a gradual deployment. */
export interface OwnShare {
  readonly split: ObjectSplit;
  readonly versionId: string;
}

export const isOwn = ({ split, versionId }: OwnShare, objectId: string): boolean => ownerOf(split, objectId) === versionId;
