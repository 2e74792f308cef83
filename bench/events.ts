/** Click events of about 1 KB, as the benchmarks of Pipelines send them, and their schema. */

export const eventFields = [
  { name: "user_id", type: "string", required: true },
  { name: "event_type", type: "string", required: true },
  { name: "product_id", type: "string" },
  { name: "amount", type: "float64" },
  { name: "quantity", type: "int32" },
  { name: "at", type: "timestamp" },
  { name: "session", type: "string" },
  { name: "active", type: "bool" },
  { name: "url", type: "string" },
  { name: "agent", type: "string" },
  { name: "seq", type: "int64" },
  { name: "tags", type: "list", items: { type: "string" } },
  {
    name: "meta",
    type: "struct",
    fields: [
      { name: "source", type: "string" },
      { name: "priority", type: "int32" },
    ],
  },
  { name: "note", type: "string" },
];

const words = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor".split(" ");
const AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";

/** The i-th event; the same on every run. */
export function event(i: number): Record<string, unknown> {
  const mixed = Math.imul(i + 1, 0x9e3779b1) >>> 0;
  const hex = (seed: number): string => (Math.imul(mixed ^ seed, 0x85ebca6b) >>> 0).toString(16).padStart(8, "0");
  return {
    user_id: `user_${mixed % 100_000}`,
    event_type: ["purchase", "view", "cart"][i % 3],
    product_id: hex(1) + hex(2) + hex(3),
    amount: (mixed % 100_000) / 100,
    quantity: i % 17,
    at: new Date(1.76e12 + i * 37).toISOString(),
    session: hex(4) + hex(5) + hex(6) + hex(7),
    active: i % 2 === 0,
    url: `https://example.com/path/${i}?q=${words[i % 12]}`,
    agent: AGENT,
    seq: i,
    tags: ["a", "b", `c${i % 5}`],
    meta: { source: "web", priority: i % 3 },
    note: Array.from({ length: 70 }, (_, k) => words[(mixed >>> (k % 17)) % 12]).join(" "),
  };
}
