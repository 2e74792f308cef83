import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesPath, skipReason } from "./paths.ts";

const indexed = (rules: { include?: string[]; exclude?: string[] }, paths: readonly string[]): string[] =>
  paths.filter((path) => skipReason(rules, path) === undefined);

test("the documented examples for buckets", () => {
  assert.deepEqual(indexed({ include: ["/docs/**/*.pdf"] }, ["docs/guide.pdf", "docs/api/ref.pdf", "docs/guide.md", "images/logo.png"]), [
    "docs/guide.pdf",
    "docs/api/ref.pdf",
  ]);
  assert.deepEqual(indexed({ exclude: ["**/*.tmp", "**/*.bak"] }, ["docs/guide.md", "data/cache.tmp", "old.bak"]), ["docs/guide.md"]);
  assert.deepEqual(indexed({ exclude: ["/temp/**", "/backup/**"] }, ["docs/guide.md", "temp/file.txt", "backup/data.json"]), [
    "docs/guide.md",
  ]);
  const drafts = { include: ["/docs/**"], exclude: ["/docs/drafts/**"] };
  assert.deepEqual(indexed(drafts, ["docs/guide.md", "docs/drafts/wip.md", "other.md"]), ["docs/guide.md"]);
  assert.equal(skipReason(drafts, "docs/drafts/wip.md"), "Skipped by rule: /docs/drafts/**");
  assert.equal(skipReason(drafts, "other.md"), "Skipped by Include Rules");
});

test("the documented examples for sites match the whole URL with its scheme", () => {
  const site = (path: string): string => `https://example.com${path}`;
  assert.deepEqual(indexed({ include: ["**/blog/**"] }, ["/blog/post", "/en/blog/article", "/about"].map(site)), [
    site("/blog/post"),
    site("/en/blog/article"),
  ]);
  assert.deepEqual(indexed({ include: ["/blog/**"] }, [site("/blog/post")]), []);
  assert.deepEqual(indexed({ exclude: ["**/login*"] }, ["/blog/post", "/login", "/auth/login-form"].map(site)), [site("/blog/post")]);
  assert.deepEqual(indexed({ exclude: ["**/admin/**"] }, ["/blog/post", "/admin/settings"].map(site)), [site("/blog/post")]);
});

test("the documented notes: case, whole paths, one star within a directory, trailing slashes", () => {
  assert.equal(matchesPath("/Blog/*", "/blog/post.html"), false);
  assert.equal(matchesPath("docs/*", "docs/file.pdf"), true);
  assert.equal(matchesPath("docs/*", "site/docs/file.pdf"), false);
  assert.equal(matchesPath("**/docs/*", "docs/file.pdf") && matchesPath("**/docs/*", "site/docs/file.pdf"), true);
  assert.equal(matchesPath("docs/*", "docs/sub/file.pdf"), false);
  assert.equal(matchesPath("docs/**", "docs/sub/file.pdf"), true);
  assert.equal(matchesPath("/blog/", "/blog"), false);
});

test("a pattern of many stars is matched in time", () => {
  assert.equal(matchesPath(`${"**a".repeat(300)}b`, "a".repeat(2000)), false);
});
