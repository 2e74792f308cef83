/** Where an instance's items come from: a list of what there is, and each of it to be read. Interfaces, and the source of uploads. */
import type { Instance } from "./instances.ts";
import type { Engine } from "./store/engine.ts";
import type { Found, Item } from "./store/protocol.ts";

export interface Content {
  readonly bytes: Uint8Array;
  /** Tells this version from others. */
  readonly etag: string;
  readonly modified: number;
  /** A name whose extension tells the kind, and the type if that is known. */
  readonly name: string;
  readonly type?: string;
  /** Metadata of its uploader's. */
  readonly custom: Readonly<Record<string, string | number | boolean>>;
  /** Kept with the item: it cannot be read again. */
  readonly keep?: boolean;
  /** For pages: what of them counts. */
  readonly selector?: string | undefined;
}

export interface Source {
  /** The `source` of its items. */
  readonly name: string;
  /** What there is, some at a time. Rejects with what to say in the job's log when it cannot be listed. */
  list(signal: AbortSignal, note: (message: string) => void): AsyncIterable<readonly Found[]>;
  /** Undefined when it is gone. Rejects with the reason when it cannot be read. */
  read(item: Item, signal: AbortSignal): Promise<Content | undefined>;
  /** Items that are read at a time. */
  readonly atOnce: number;
}

export const BUILT_IN = "builtin";

export const sourceName = ({ config }: Instance): string => (config.type === null ? BUILT_IN : `${config.type}:${config.source}`);

/** Files that were uploaded to the instance: there is nothing to list. */
export function uploads(engine: Engine, instance: Instance, atOnce: number): Source {
  return {
    name: BUILT_IN,
    atOnce,
    async *list() {},
    async read(item) {
      const file = await engine.call("file", { uid: instance.uid, item: item.id });
      if (file === null) return undefined;
      const custom = item.metadata === null ? {} : (JSON.parse(item.metadata) as Content["custom"]);
      return { bytes: file.bytes, etag: item.etag ?? "", modified: item.modified, name: item.key, type: file.type, custom };
    },
  };
}
