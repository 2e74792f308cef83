import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { ConfigError, configKeys, readConfigFile, resolveConfig } from "./config.ts";

const directory = mkdtempSync(join(tmpdir(), "freehold-config-"));
after(() => rmSync(directory, { recursive: true }));

const file = (content: string): string => {
  const path = join(directory, "config.json");
  writeFileSync(path, content);
  return path;
};

test("every key has a default that passes its own check, and a doc line", () => {
  const config = resolveConfig({}, "defaults");
  for (const [name, key] of Object.entries(configKeys)) {
    assert.equal(config[name as keyof typeof config], key.default);
    assert.ok(key.doc.length > 10, name);
  }
});

test("an unknown key is refused with the nearest known one named", () => {
  assert.throws(() => resolveConfig({ "r2_sql.strickt": true }, "freehold.json"), {
    message: 'freehold.json: unknown key "r2_sql.strickt". Did you mean "r2_sql.strict"?',
  });
});

test("a value of another type, or out of range, is refused by name", () => {
  assert.throws(() => resolveConfig({ "runtime.memory_mb": "128" }, "x"), { message: 'x: "runtime.memory_mb" must be a number' });
  assert.throws(() => resolveConfig({ "runtime.memory_mb": 0 }, "x"), /"runtime.memory_mb" must be a number above 0/);
  assert.throws(() => resolveConfig({ "runtime.outbound_allow": "public" }, "x"), /must be a list of strings/);
});

test("a file may nest keys or dot them", () => {
  assert.equal(readConfigFile(file('{"r2_sql": {"strict": true}, "runtime.memory_mb": 64}'))["r2_sql.strict"], true);
  assert.throws(() => readConfigFile(file("[1]")), /must hold one JSON object/);
  assert.throws(() => readConfigFile(file("{")), ConfigError);
  assert.throws(() => readConfigFile("/does/not/exist.json"), /cannot read the configuration/);
});
