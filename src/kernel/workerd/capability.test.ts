import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import test from "node:test";
import { capabilityKey } from "./capability.ts";

const key = capabilityKey(randomBytes(32));

test("a minted capability gives back product and claims", () => {
  const header = key.mint("kv", { namespace: "abc" });
  assert.deepEqual(key.verify(header), { product: "kv", claims: { namespace: "abc" } });
});

test("nothing that was changed, made with another key or malformed is accepted", () => {
  const header = key.mint("kv", { namespace: "abc" });
  const [product, claims, mac] = header.split(".") as [string, string, string];
  const other = Buffer.from('{"namespace":"other"}').toString("base64url");
  const forged = [
    `r2.${claims}.${mac}`,
    `${product}.${other}.${mac}`,
    `${product}.${claims}.${mac.slice(0, -4)}AAAA`,
    `${product}.${claims}.`,
    header.slice(0, -1),
    `${header}.x`,
    "",
    "a.b",
  ];
  for (const text of forged) assert.equal(key.verify(text), undefined, text);
  assert.equal(key.verify(undefined), undefined);
  assert.equal(capabilityKey(randomBytes(32)).verify(header), undefined);
});
