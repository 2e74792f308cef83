/**
 * Files in a bucket: `[path/]year=…/month=…/day=…/<name>.parquet`. A bucket knows no transactions, so the reader keeps the
 * position in meta: it records which range it is about to write, puts the file, then moves the position. A crash in between
 * repeats the same range under the same name.
 */
import { rm } from "node:fs/promises";
import type { Objects } from "../../kernel/capabilities.ts";
import { pipelinesError } from "./errors.ts";
import type { FileFormat } from "./file-writer.ts";
import { fileStem, timePath } from "./naming.ts";
import type { R2SinkConfig } from "./sink-config.ts";
import type { Target } from "./target.ts";

interface FileType {
  readonly suffix: string;
  readonly contentType: string;
}

const PARQUET: FileType = { suffix: ".parquet", contentType: "application/vnd.apache.parquet" };
const NDJSON: FileType = { suffix: ".json", contentType: "application/x-ndjson" };
/** By compression. */
const ndjsonTypes: Readonly<Record<string, FileType>> = {
  gzip: { suffix: ".json.gz", contentType: "application/gzip" },
  deflate: { suffix: ".json.deflate", contentType: "application/zlib" },
};

export function r2Target(objects: Objects, config: R2SinkConfig, format: FileFormat, authorize: () => Promise<void>): Target {
  const { suffix: usual, contentType } = format.type === "parquet" ? PARQUET : (ndjsonTypes[format.compression] ?? NDJSON);
  const suffix = config.naming.suffix ?? usual;
  return {
    partitionOf: (time) => timePath(config.timePattern, time),
    async prepare() {
      await authorize();
      if (!(await objects.bucketExists(config.bucket)))
        throw pipelinesError("bucketNotFound", `The bucket ${config.bucket} does not exist`);
      return {};
    },
    delivered: async () => undefined,
    async deliver(written, file) {
      const prefix = config.naming.prefix === "" ? "" : `${config.naming.prefix}-`;
      const name = `${prefix}${fileStem(config.naming.strategy, file)}${suffix.startsWith(".") ? "" : "."}${suffix}`;
      const key = [config.path, timePath(config.timePattern, file.time), name].filter(Boolean).join("/");
      try {
        // This makes the events visible. The position follows; until then a restart writes this key again.
        await objects.putFile(config.bucket, key, written.path, contentType);
      } finally {
        await rm(written.path, { force: true });
      }
    },
  };
}
