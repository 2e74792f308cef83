import assert from "node:assert/strict";
import test from "node:test";
import type { HostRoute } from "../product.ts";
import { hostTable } from "./hosts.ts";

const route = (name: string, patterns: string[], publicHosts: string[] = []): HostRoute => ({
  name,
  patterns,
  publicHosts,
  handle: () => undefined,
});
const table = hostTable("freehold.localhost", [
  route("r2", ["{bucket}.{account}.r2", "{account}.r2"], ["{account}.r2.cloudflarestorage.com"]),
  route("workers", ["{worker}.{subdomain}.workers"], ["{worker}.{subdomain}.workers.dev"]),
  route("sql", ["sql"], ["api.sql.cloudflarestorage.com"]),
]);
const match = (host: string) => {
  const found = table.match(host);
  return found && { name: found.route.name, ...found.params };
};

test("placeholders take one label each", () => {
  assert.deepEqual(match("abc.r2.freehold.localhost"), { name: "r2", account: "abc" });
  assert.deepEqual(match("files.abc.r2.freehold.localhost"), { name: "r2", bucket: "files", account: "abc" });
  assert.deepEqual(match("hello.me.workers.dev"), { name: "workers", worker: "hello", subdomain: "me" });
});

test("more literal labels win, and the real services' names lead to the same routes", () => {
  assert.deepEqual(match("sql.freehold.localhost"), { name: "sql" });
  assert.deepEqual(match("api.sql.cloudflarestorage.com"), { name: "sql" });
  assert.deepEqual(match("abc.r2.cloudflarestorage.com"), { name: "r2", account: "abc" });
});

test("other names, empty labels and lookalikes match nothing", () => {
  for (const host of [
    "",
    "freehold.localhost",
    "a.b.c.r2.freehold.localhost",
    ".r2.freehold.localhost",
    "sql.freehold.localhost.evil.com",
    "xsql.freehold.localhost",
  ]) {
    assert.equal(match(host), undefined, host);
  }
});

test("names that users connect are resolved late, and never instead of the platform's own", () => {
  const connected = new Map([["files.example.com", "1"]]);
  for (const host of ["sql.freehold.localhost", "other.freehold.localhost", "localhost", "api.cloudflare.com"]) connected.set(host, "evil");
  const resolve = (host: string) => (connected.has(host) ? { bucket: connected.get(host) as string } : undefined);
  const late = hostTable(
    "freehold.localhost",
    [route("sql", ["sql"]), { ...route("public", []), resolve }],
    new Set(["api.cloudflare.com"]),
  );
  const name = (host: string) => late.match(host)?.route.name;
  assert.deepEqual(
    ["files.example.com", "sql.freehold.localhost", "other.freehold.localhost", "localhost", "api.cloudflare.com"].map(name),
    ["public", "sql", undefined, undefined, undefined],
  );
  connected.delete("files.example.com");
  assert.equal(name("files.example.com"), undefined);
});

test("a route that is asked last has only the names that no other one knows", () => {
  const resolve = (...names: string[]) => ({ resolve: (host: string) => (names.includes(host) ? {} : undefined) });
  const table = hostTable("freehold.localhost", [
    { ...route("fallback", []), ...resolve("a.example", "b.example"), last: true },
    { ...route("owner", []), ...resolve("a.example") },
  ]);
  assert.deepEqual(
    ["a.example", "b.example", "c.example"].map((host) => table.match(host)?.route.name),
    ["owner", "fallback", undefined],
  );
});
