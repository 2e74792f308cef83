/** Rows of the catalog as the rest of the product sees them, and what its parts share. */
import type { Objects } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import type { MetadataFiles } from "./metadata-files.ts";
import type { CatalogMetrics } from "./metrics.ts";

export interface Warehouse {
  readonly id: string;
  readonly bucket: string;
  /** "<account>_<bucket>". */
  readonly name: string;
  readonly status: "active" | "inactive";
  readonly hasCredential: boolean;
}

export interface NamespaceRow {
  readonly id: string;
  readonly warehouse_id: string;
  readonly path: string;
  /** JSON object of strings. */
  readonly properties: string;
  readonly created_at: number;
  readonly updated_at: number | null;
}

export interface TableRow {
  readonly id: string;
  readonly warehouse_id: string;
  readonly namespace_id: string;
  readonly name: string;
  readonly kind: "table" | "view";
  readonly uuid: string;
  readonly location: string;
  readonly metadata_location: string;
  /** JSON, or null: as the catalog. */
  readonly maintenance: string | null;
  readonly created_at: number;
  readonly updated_at: number | null;
}

/** What every operation works with. */
export interface Catalog {
  readonly kernel: KernelSlice;
  readonly objects: Objects;
  readonly files: MetadataFiles;
  /** One commit at a time for each table of this process; the rows' compare-and-swap decides between processes. */
  readonly locks: KeyedLock;
  readonly metrics: CatalogMetrics;
  /** Runs work that no answer waits for; `stop` waits for it. Failures are logged. */
  background(event: string, work: () => Promise<void>): void;
  /** Lets maintenance look for requests and due tables now. */
  maintainSoon(): void;
  /** Wakes the deletion of purged tables. */
  purgeSoon(): void;
}
