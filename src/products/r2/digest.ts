/** A running digest by the name under which R2 keeps it. */
import { createHash } from "node:crypto";
import { checksum, type Digest } from "../../protocols/s3/index.ts";
import type { DigestName } from "./model.ts";

export function digest(name: DigestName): Digest {
  switch (name) {
    case "crc32":
    case "crc32c":
    case "crc64nvme":
      return checksum(name);
    default:
      return createHash(name);
  }
}
