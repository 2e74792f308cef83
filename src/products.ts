/** The one list of products. Order does not matter: the kernel starts them in the order of their needs. */
import type { Product } from "./kernel/product.ts";

export const products: readonly Product[] = [];
