/** The order in which products start: each after those whose capabilities it needs. */
import type { Capabilities } from "./capabilities.ts";
import type { Product } from "./product.ts";

/** Throws an error that names both sides when a capability is missing, offered twice, or needed in a circle. */
export function startOrder(products: readonly Product[]): Product[] {
  const providers = new Map<keyof Capabilities, Product>();
  for (const product of products) {
    for (const key of product.provides ?? []) {
      const other = providers.get(key);
      if (other !== undefined) throw new Error(`Products "${other.name}" and "${product.name}" both provide "${key}"`);
      providers.set(key, product);
    }
  }
  const order: Product[] = [];
  const path: Product[] = [];
  const visit = (product: Product): void => {
    if (order.includes(product)) return;
    if (path.includes(product))
      throw new Error(`Products need each other in a circle: ${[...path, product].map((p) => p.name).join(" → ")}`);
    path.push(product);
    for (const key of product.needs ?? []) {
      const provider = providers.get(key);
      if (provider === undefined) throw new Error(`Product "${product.name}" needs "${key}", which no product provides`);
      visit(provider);
    }
    path.pop();
    order.push(product);
  };
  for (const product of products) visit(product);
  return order;
}
