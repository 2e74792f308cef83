import assert from "node:assert/strict";
import { test } from "node:test";
import { passes, type TailFilter, type TraceItem } from "./tails.ts";

const item: TraceItem = {
  outcome: "ok",
  event: { request: { method: "GET", url: "http://x/", headers: { "cf-connecting-ip": "10.0.0.7", "x-a": "one two" } } },
  logs: [{ message: ["visited", { page: 7 }] }],
  exceptions: [{ message: "broke" }],
};
const passed = (filter: TailFilter, over: Partial<TraceItem> = {}): boolean =>
  passes(filter, { ...item, ...over } as TraceItem, "v1", "10.0.0.9", () => 0.3);

test("each condition decides by itself", () => {
  assert(passed({}));
  assert(passed({ outcome: ["ok", "canceled"] }) && !passed({ outcome: ["exception"] }));
  assert(passed({ method: ["get"] }) && !passed({ method: ["POST"] }));
  assert(passed({ header: { key: "X-A" } }) && passed({ header: { key: "x-a", query: "two" } }));
  assert(!passed({ header: { key: "x-a", query: "three" } }) && !passed({ header: { key: "x-b" } }));
  assert(passed({ query: "visited" }) && passed({ query: '"page":7' }) && passed({ query: "broke" }) && !passed({ query: "absent" }));
  assert(passed({ client_ip: ["10.0.0.7"] }) && !passed({ client_ip: ["10.0.0.8"] }) && !passed({ client_ip: ["self"] }));
  assert(passed({ scriptVersion: "v1" }) && !passed({ scriptVersion: "v2" }));
  assert(passed({ sampling_rate: 0.5 }) && !passed({ sampling_rate: 0.1 }));
});

test("events without a request pass only filters that ask for none of it", () => {
  const scheduled = { event: null };
  assert(passed({ outcome: ["ok"] }, scheduled));
  assert(!passed({ method: ["GET"] }, scheduled));
  assert(!passed({ header: { key: "x-a" } }, scheduled));
  assert(!passed({ client_ip: ["10.0.0.7"] }, scheduled));
});
