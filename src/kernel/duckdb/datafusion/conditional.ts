/** DataFusion's conditional functions, and `struct`. */
import { type FunctionTable, MANY, rule, same } from "./rule.ts";

export const conditional: FunctionTable = {
  coalesce: same("coalesce", 1, MANY),
  nullif: same("nullif", 2),
  nvl: same("coalesce", 2),
  nvl2: rule(3, 3, (test, then, otherwise) => `CASE WHEN ${test} IS NOT NULL THEN ${then} ELSE ${otherwise} END`),
  struct: rule(1, MANY, (...args) => `struct_pack(${args.map((arg, i) => `c${i} := ${arg}`).join(", ")})`),
};
