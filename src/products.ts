/** The one list of products. Order does not matter: the kernel starts them in the order of their needs. */
import type { Product } from "./kernel/product.ts";
import { kv } from "./products/kv/index.ts";
import { r2 } from "./products/r2/index.ts";
import { r2DataCatalog } from "./products/r2-data-catalog/index.ts";

export const products: readonly Product[] = [kv, r2, r2DataCatalog];
