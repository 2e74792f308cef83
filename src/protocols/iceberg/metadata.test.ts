import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIcebergJson, stringifyIcebergJson } from "./json.ts";
import { newTableMetadata, nextMetadataLocation, parseS3Location, parseTableMetadata, serializeTableMetadata } from "./metadata.ts";
import { parsePrimitive, printPrimitive, type Schema, walkFields } from "./types.ts";

const nested: Schema = {
  type: "struct",
  "identifier-field-ids": [7],
  fields: [
    { id: 7, name: "id", required: true, type: "long" },
    {
      id: 3,
      name: "places",
      required: false,
      type: {
        type: "map",
        "key-id": 11,
        key: "string",
        "value-id": 12,
        "value-required": false,
        value: { type: "struct", fields: [{ id: 13, name: "zip", required: false, type: "string" }] },
      },
    },
    { id: 5, name: "tags", required: false, type: { type: "list", "element-id": 9, element: "string", "element-required": true } },
  ],
};

const create = (schema: Schema, more: Partial<Parameters<typeof newTableMetadata>[0]> = {}) =>
  newTableMetadata({ uuid: "11111111-2222-4333-8444-555555555555", location: "s3://b/t", now: 5, schema, ...more });

test("a new table's field ids are assigned level by level, and references follow", () => {
  const metadata = create(nested, {
    partitionSpec: { fields: [{ "source-id": 7, "field-id": 1234, name: "id_b", transform: "bucket[2]" }] },
    sortOrder: { fields: [{ "source-id": 7, transform: "identity", direction: "asc", "null-order": "nulls-first" }] },
  });
  const [schema] = metadata.schemas;
  assert.deepEqual(
    [...walkFields(schema as Schema)].map((field) => [field.path, field.id]),
    [
      ["id", 1],
      ["places", 2],
      ["places.key", 4],
      ["places.value", 5],
      ["places.value.zip", 6],
      ["tags", 3],
      ["tags.element", 7],
    ],
  );
  assert.deepEqual(schema?.["identifier-field-ids"], [1]);
  assert.equal(metadata["last-column-id"], 7);
  assert.deepEqual(metadata["partition-specs"], [
    { "spec-id": 0, fields: [{ "source-id": 1, "field-id": 1000, name: "id_b", transform: "bucket[2]" }] },
  ]);
  assert.deepEqual([metadata["last-partition-id"], metadata["default-sort-order-id"]], [1000, 1]);
});

test("snapshot ids keep all their digits", () => {
  const text = '{"snapshot-id":9223372036854775807,"snapshot-ids":[9223372036854775806,1],"parent-snapshot-id":1,"timestamp-ms":5,"f":0.5}';
  const parsed = parseIcebergJson(text);
  assert.deepEqual(parsed, {
    "snapshot-id": 9223372036854775807n,
    "snapshot-ids": [9223372036854775806n, 1n],
    "parent-snapshot-id": 1n,
    "timestamp-ms": 5,
    f: 0.5,
  });
  assert.equal(stringifyIcebergJson(parsed), text);
});

test("only members are taken for snapshot ids, whatever strings say", () => {
  const texts = [
    '{"snapshot-id": 5 ,"a":{"parent-snapshot-id":-1}}',
    '{"x\\"snapshot-id":5,"s":"\\"snapshot-id\\":7,","snapshot-id":0.5,"n":[1,2]}',
    '{"snapshot-ids":[1,2,"3"],"current-snapshot-id":null,"snapshot-id":"9"}',
    '{"n":9007199254740993,"m":-9223372036854775808,"snapshot-id":1,"s":"1234567890123456789"}',
    '{"snapshot-id":1e3,"__proto__":{"snapshot-id":5}}',
  ];
  const expected: unknown[] = [
    { "snapshot-id": 5n, a: { "parent-snapshot-id": -1n } },
    { 'x"snapshot-id': 5, s: '"snapshot-id":7,', "snapshot-id": 0.5, n: [1, 2] },
    { "snapshot-ids": [1n, 2n, "3"], "current-snapshot-id": null, "snapshot-id": "9" },
    { n: 9007199254740993n, m: -9223372036854775808n, "snapshot-id": 1n, s: "1234567890123456789" },
  ];
  for (const [i, value] of expected.entries()) assert.deepEqual(parseIcebergJson(texts[i] as string), value);
  const odd = parseIcebergJson(texts[4] as string) as Record<string, unknown>;
  assert.equal(odd["snapshot-id"], 1000);
  assert.deepEqual(Object.getOwnPropertyDescriptor(odd, "__proto__")?.value, { "snapshot-id": 5n });
  for (const bad of ["", "{", '{"snapshot-id":}', '{"snapshot-id":05}', "{'a':1}"])
    assert.throws(() => parseIcebergJson(bad), SyntaxError, bad);
});

test("old metadata of version 1 is brought into the present form and written so that old readers understand it", () => {
  const metadata = parseTableMetadata(
    JSON.stringify({
      "format-version": 1,
      "table-uuid": "11111111-2222-4333-8444-555555555555",
      location: "s3://b/t/",
      "last-updated-ms": 5,
      "last-column-id": 1,
      schema: { type: "struct", fields: [{ id: 1, name: "x", required: true, type: "long" }] },
      "partition-spec": [{ "source-id": 1, name: "x", transform: "identity" }],
      properties: {},
      "current-snapshot-id": -1,
    }),
  );
  assert.equal(metadata.location, "s3://b/t");
  assert.equal("current-snapshot-id" in metadata, false);
  assert.deepEqual(metadata["partition-specs"], [
    { "spec-id": 0, fields: [{ "source-id": 1, name: "x", transform: "identity", "field-id": 1000 }] },
  ]);
  assert.equal(metadata["last-partition-id"], 1000);
  const written = JSON.parse(serializeTableMetadata(metadata)) as Record<string, unknown>;
  assert.deepEqual(written["partition-spec"], metadata["partition-specs"][0]?.fields);
  assert.deepEqual(written.schema, metadata.schemas[0]);
});

test("what is no table metadata is refused", () => {
  const good = JSON.parse(serializeTableMetadata(create(nested))) as Record<string, unknown>;
  const bad: unknown[] = [
    [],
    {},
    { ...good, "format-version": 4 },
    { ...good, "table-uuid": undefined },
    { ...good, "current-schema-id": 9 },
    { ...good, "default-spec-id": 9 },
    { ...good, "current-snapshot-id": 9 },
    { ...good, refs: { dev: { type: "branch", "snapshot-id": 3 } } },
    { ...good, schemas: "x" },
  ];
  for (const json of bad) assert.throws(() => parseTableMetadata(JSON.stringify(json)), { kind: "invalid" }, JSON.stringify(json));
  assert.throws(() => parseTableMetadata("{"), { kind: "invalid" });
});

test("metadata files are numbered on", () => {
  const uuid = "u";
  assert.equal(nextMetadataLocation("s3://b/t", undefined, uuid), "s3://b/t/metadata/00000-u.metadata.json");
  assert.equal(
    nextMetadataLocation("s3://b/t", "s3://b/t/metadata/00009-x.metadata.json", uuid),
    "s3://b/t/metadata/00010-u.metadata.json",
  );
  assert.equal(nextMetadataLocation("s3://b/t", "s3://b/t/metadata/v3.gz.metadata.json", uuid), "s3://b/t/metadata/00004-u.metadata.json");
  assert.equal(nextMetadataLocation("s3://b/t", "s3://b/other.metadata.json", uuid), "s3://b/t/metadata/00000-u.metadata.json");
});

test("names of primitive types are read and printed", () => {
  for (const [name, printed] of [
    ["decimal(9,2)", "decimal(9, 2)"],
    ["fixed[16]", "fixed[16]"],
    ["geometry(EPSG:3857)", "geometry(EPSG:3857)"],
    ["geography", "geography"],
    ["timestamptz_ns", "timestamptz_ns"],
  ] as const)
    assert.equal(printPrimitive(parsePrimitive(name) ?? { kind: "unknown" }), printed);
  for (const name of ["decimal(39, 2)", "decimal(2, 3)", "decimal(0,0)", "money", "fixed[]", "struct", ""])
    assert.equal(parsePrimitive(name), undefined, name);
  assert.deepEqual(parseS3Location("s3a://b/x/y"), { bucket: "b", key: "x/y" });
  assert.equal(parseS3Location("gs://b/x"), undefined);
});

test("version 3: types, defaults and identifiers that readers would refuse are refused", () => {
  const one = (field: object, more: object = {}, formatVersion: 2 | 3 = 3): void => {
    const schema = { type: "struct", fields: [{ id: 1, name: "x", required: false, ...field }], ...more } as unknown as Schema;
    create(schema, { formatVersion });
  };
  const GOOD: readonly (readonly [string, unknown])[] = [
    ["boolean", true],
    ["int", -5],
    ["long", 9007199254740993n],
    ["double", 1.5],
    ["decimal(9, 2)", "14.20"],
    ["date", "2017-11-16"],
    ["time", "22:31:08.123456"],
    ["timestamp", "2017-11-16T22:31:08.123456"],
    ["timestamptz_ns", "2017-11-16T22:31:08.123456789+00:00"],
    ["string", "iceberg"],
    ["uuid", "f79c3e09-677c-4bbd-a479-3f349cb785e7"],
    ["fixed[4]", "00010203"],
    ["binary", "000102ff"],
  ];
  for (const [type, value] of GOOD) {
    one({ type, "initial-default": value, "write-default": value });
    assert.throws(() => one({ type: "boolean", "write-default": value === true ? "yes" : value }), /Cannot parse default as a boolean/);
  }
  assert.throws(() => one({ type: "int", "initial-default": 1 }, {}, 2), /not supported until v3/);
  assert.throws(() => one({ type: "int", "initial-default": "1" }), /Cannot parse default as a int value/);
  assert.throws(() => one({ type: "int", "write-default": 2 ** 31 }), /Cannot parse default as a int value/);
  for (const type of ["unknown", "variant", "geometry", "geography"]) {
    one({ type });
    assert.throws(() => one({ type }, {}, 2), /not supported until v3/);
    assert.throws(() => one({ type, "initial-default": "x" }), /must be null/);
  }
  assert.throws(() => one({ type: "unknown", required: true }), /required field with unknown type: x/);
  assert.throws(() => one({ type: "variant", required: true }, { "identifier-field-ids": [1] }), /not a primitive type field/);
  // What is stored is read all the same: rows are worth more than a default.
  const stored = serializeTableMetadata(create(nested, { formatVersion: 3 })).replace('"name":"zip"', '"name":"zip","write-default":5');
  assert.ok(stored.includes("write-default"));
  assert.equal(parseTableMetadata(stored).schemas.length, 1);
});
