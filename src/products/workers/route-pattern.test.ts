import assert from "node:assert/strict";
import { test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { bySpecificity, matchesHost, matchesPath, parsePattern } from "./route-pattern.ts";

const matches = (pattern: string, host: string, path = "/"): boolean => {
  const parsed = parsePattern(pattern);
  return matchesHost(parsed, host) && matchesPath(parsed, path);
};

test("hosts: exact, below a name, a name and all that end in it", () => {
  assert.deepEqual(
    ["example.com", "www.example.com"].map((host) => matches("example.com/*", host)),
    [true, false],
  );
  assert.deepEqual(
    ["example.com", "www.example.com", "a.b.example.com", "notexample.com"].map((host) => matches("*.example.com/*", host)),
    [false, true, true, false],
  );
  assert.deepEqual(
    ["example.com", "www.example.com", "notexample.com"].map((host) => matches("*example.com/*", host)),
    [true, true, true],
  );
  assert(matches("EXAMPLE.com/*", "example.com"));
});

test("paths: exact and by prefix, and their case counts", () => {
  assert.deepEqual(
    ["/", "/a"].map((path) => matches("example.com", "example.com", path)),
    [true, false],
  );
  assert.deepEqual(
    ["/images", "/images/", "/images/a", "/Images/a"].map((path) => matches("example.com/images/*", "example.com", path)),
    [false, true, true, false],
  );
  assert.deepEqual(
    ["/images", "/images/a", "/images2"].map((path) => matches("example.com/images*", "example.com", path)),
    [true, true, true],
  );
});

test("the most specific pattern comes first", () => {
  const ordered = [
    "*example.com/*",
    "*.example.com/*",
    "example.com/*",
    "example.com/a*",
    "example.com/a/b",
    "www.example.com/*",
    "https://example.com/*",
  ];
  const sorted = ordered.map((text) => ({ text, pattern: parsePattern(text) })).sort((a, b) => bySpecificity(a.pattern, b.pattern));
  assert.deepEqual(
    sorted.map(({ text }) => text),
    [
      "www.example.com/*",
      "example.com/a/b",
      "example.com/a*",
      "https://example.com/*",
      "example.com/*",
      "*.example.com/*",
      "*example.com/*",
    ],
  );
});

test("what is no pattern is refused", () => {
  for (const text of [
    "",
    "/path",
    "exa*mple.com/*",
    "example.com/*/b",
    "example.com/a?b=1",
    "ftp://example.com/",
    "example.com:8080/*",
    "*",
  ])
    assert.throws(
      () => parsePattern(text),
      (error) => error instanceof PlatformError && error.code === "workers.invalidRoute",
      text,
    );
});
