/** Objects of the instance's bucket, under its prefix and its path rules (docs/ai-search/configuration/data-source/r2). */
import type { Objects } from "../../kernel/capabilities.ts";
import type { Instance } from "./instances.ts";
import { skipReason } from "./paths.ts";
import { type Source, sourceName } from "./source.ts";
import type { Found } from "./store/protocol.ts";

const PAGE = 500;

export interface FileRules {
  readonly maxBytes: number;
  readonly maxText: string;
  /** Whether files of such names are indexed. */
  supports(key: string): boolean;
}

export function bucketSource(objects: Objects, instance: Instance, rules: FileRules, atOnce: number): Source {
  const { source, source_params: params } = instance.config;
  const bucket = source as string;
  const paths = { include: params?.include_items, exclude: params?.exclude_items };

  function refusalOf(key: string, size: number): Found["refused"] {
    const rule = skipReason(paths, key);
    if (rule !== undefined) return { status: "skipped", reason: rule };
    if (!rules.supports(key)) return { status: "error", reason: "Unsupported file type" };
    if (size > rules.maxBytes) return { status: "error", reason: `File size exceeds the limit of ${rules.maxText}` };
    return undefined;
  }

  return {
    name: sourceName(instance),
    atOnce,
    async *list() {
      for (let startAfter: string | undefined; ; ) {
        const found = await objects.list(bucket, params?.prefix ?? "", { limit: PAGE, ...(startAfter !== undefined && { startAfter }) });
        // What looks like a folder is an object of no bytes.
        const files = found.filter(({ key, size }) => !(key.endsWith("/") && size === 0));
        yield files.map(({ key, size, etag, uploadedAt }): Found => {
          const refused = refusalOf(key, size);
          return { key, size, etag, modified: uploadedAt, rank: 0, ...(refused && { refused }) };
        });
        if (found.length < PAGE) return;
        startAfter = found.at(-1)?.key;
      }
    },
    async read({ key }) {
      const head = await objects.head(bucket, key);
      if (head === null) return undefined;
      const refused = refusalOf(key, head.size);
      if (refused !== undefined) throw new Error(refused.reason);
      const bytes = await objects.bytes(bucket, key);
      if (bytes === undefined) return undefined;
      return { bytes, etag: head.etag, modified: head.uploadedAt, name: key, custom: head.customMetadata };
    },
  };
}
