import assert from "node:assert/strict";
import test from "node:test";
import type { Product } from "./product.ts";
import { startOrder } from "./product-order.ts";

const product = (name: string, parts: Pick<Product, "needs" | "provides"> = {}): Product => ({
  name,
  status: "experimental",
  ...parts,
  start: async () => ({ stop: async () => undefined }),
});

test("a product starts after those whose capabilities it needs", () => {
  const order = startOrder([
    product("sql", { needs: ["tables", "objects"] }),
    product("catalog", { needs: ["objects"], provides: ["tables"] }),
    product("r2", { provides: ["objects"] }),
  ]);
  assert.deepEqual(
    order.map((p) => p.name),
    ["r2", "catalog", "sql"],
  );
});

test("a missing, doubled or circular capability is an error that names both sides", () => {
  assert.throws(() => startOrder([product("sql", { needs: ["tables"] })]), {
    message: 'Product "sql" needs "tables", which no product provides',
  });
  assert.throws(
    () => startOrder([product("a", { provides: ["objects"] }), product("b", { provides: ["objects"] })]),
    /"a" and "b" both provide "objects"/,
  );
  const circle = [product("a", { needs: ["tables"], provides: ["objects"] }), product("b", { needs: ["objects"], provides: ["tables"] })];
  assert.throws(() => startOrder(circle), /circle: a → b → a/);
});
