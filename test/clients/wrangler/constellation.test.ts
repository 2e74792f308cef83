/**
 * Constellation by wrangler 3.57.0, the last that knows it, and by two client libraries in a Worker: Freehold's own, and the sessions of
 * `@cloudflare/ai` 1.0.12. Models are made here; the SqueezeNet has that network's shape and random weights.
 */
import assert from "node:assert/strict";
import { copyFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { clientPackage, clientProject, missingClient, wrangler357 } from "../../harness/npm-client.ts";
import { projectRoot, type RunOptions, startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { COMPATIBILITY_DATE } from "../../harness/worker-project.ts";
import { oneNode, onnxModel, squeezeNet, treesAsOnnx, type Value, type XgboostModel } from "../onnx-model.ts";

const noClient = missingClient("constellation");

interface Tensor {
  readonly type: string;
  readonly shape: readonly number[];
  readonly name: string | null;
  readonly value: unknown;
}
type Outputs = Readonly<Record<string, Tensor>> & { readonly error?: string };
interface Wire {
  readonly type: string;
  readonly value: unknown;
  readonly shape?: readonly number[];
  readonly name?: string;
}

const RUN_TIMEOUT_MS = 5000;
const LIBRARIES = ["ours", "theirs"] as const;

let platform: TestPlatform;
let dir: string;
let url: string;
let project: string;
let trees: string;

const old = (args: readonly string[], options: RunOptions = {}) =>
  wrangler357(platform, args, { cwd: dir, env: { NO_CONSTELLATION_WARNING: "1" }, ...options });
const root = () => `/accounts/${platform.ready.account_id}/constellation`;

/** Output of a `--json` command, after what wrangler says of the command's age. */
const jsonOf = ({ stdout }: { readonly stdout: string }): { id: string; name: string; runtime: string }[] =>
  JSON.parse(stdout.slice(stdout.search(/^\[/m))) as { id: string; name: string; runtime: string }[];

interface Sent {
  readonly status: number;
  readonly id: string;
  /** Of the first error. */
  readonly code: number;
  readonly text: string;
}

async function send(method: string, path: string, form: FormData): Promise<Sent> {
  const { body, headers } = new Response(form);
  const answer = await platform.fetch(`${platform.ready.api}${path}`, {
    method,
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": headers.get("content-type") as string },
    body: Buffer.from(await new Response(body).arrayBuffer()),
  });
  const { result, errors } = (await answer.json()) as { result: { id: string } | null; errors: { code: number; message: string }[] };
  return { status: answer.status, id: result?.id ?? "", text: errors[0]?.message ?? "", code: errors[0]?.code ?? 0 };
}

function upload(to: string, name: string, bytes: Uint8Array): Promise<Sent> {
  const form = new FormData();
  form.set("file", new File([new Uint8Array(bytes)], "model"));
  form.set("name", name);
  return send("POST", `${root()}/project/${to}/model`, form);
}

async function ask(path: string, body: object): Promise<Outputs> {
  const answer = await platform.fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return JSON.parse(text) as Outputs;
}

const run = (model: string, inputs: readonly Wire[] | Readonly<Record<string, Wire>>, more: object = {}): Promise<Outputs> =>
  ask("/run", { library: "theirs", model, inputs, ...more });

const float = (name: string, shape: Value["shape"]): Value => ({ name, type: "float32", shape });
const long = (name: string, shape: Value["shape"]): Value => ({ name, type: "int64", shape });
const vector = (...value: number[]): Wire => ({ type: "float32", value, shape: [value.length] });
const matrix = (...value: number[]): Wire => ({ type: "float32", value, shape: [2, 2] });
const loads = (model: string): number =>
  platform.log.filter(({ msg, model: loaded }) => msg === "constellation.model_loaded" && loaded === model).length;

const subtract = oneNode("Sub", [float("left", [2]), float("right", [2])], [float("difference", [2])]);

async function setUp(): Promise<void> {
  const catalog = await temporaryDirectory("freehold-catalog-");
  await mkdir(join(catalog, "image-classification"));
  await writeFile(join(catalog, "image-classification", "squeezenet.onnx"), squeezeNet());
  platform = await startPlatform(
    { after },
    {
      config: {
        "constellation.onnxruntime": await clientPackage("constellation", "onnxruntime-web"),
        "constellation.catalog": catalog,
        "constellation.run_timeout_ms": RUN_TIMEOUT_MS,
        "constellation.model_memory_mb": 128,
        "constellation.models_loaded_max": 2,
        "constellation.input_max_bytes": 8 * 1024 * 1024,
      },
    },
  );
  dir = await clientProject({ after }, "constellation");
  await old(["constellation", "project", "create", "numbers", "ONNX"]);
  await old(["constellation", "project", "create", "trees", "xgboost"]);
  const projects = jsonOf(await old(["constellation", "project", "list", "--json"]));
  assert.deepEqual(
    projects.map(({ name, runtime }) => [name, runtime]),
    [
      ["numbers", "ONNX"],
      ["trees", "XGBoost"],
    ],
  );
  [project, trees] = projects.map(({ id }) => id) as [string, string];
  // As `npm install` makes it of a directory.
  await mkdir(join(dir, "node_modules", "@cloudflare"), { recursive: true });
  const library = join(projectRoot, "src", "products", "constellation", "client");
  await symlink(library, join(dir, "node_modules", "@cloudflare", "constellation"));
  await copyFile(join(projectRoot, "test", "clients", "constellation-worker.js"), join(dir, "index.js"));
  await writeFile(
    join(dir, "wrangler.toml"),
    `name = "models"\nmain = "index.js"\ncompatibility_date = "${COMPATIBILITY_DATE}"\n` +
      `constellation = [{ binding = "PROJECT", project_id = "${project}" }, { binding = "TREES", project_id = "${trees}" }]\n`,
  );
  await old(["deploy"]);
  const { subdomain } = (await platform.rest("GET", `/accounts/${platform.ready.account_id}/workers/subdomain`)).body.result;
  url = platform.host("workers", { worker: "models", subdomain });
}

if (noClient === false) await setUp();

test("[constellation-11, constellation-13, constellation-14] wrangler makes, lists and deletes projects; names are taken once", {
  skip: noClient,
}, async () => {
  const taken = await old(["constellation", "project", "create", "numbers", "ONNX"], { code: 1 });
  assert.match(taken.stderr, /A project with that name already exists/);
  assert.equal((await platform.rest("POST", `${root()}/project`, { name: "numbers", runtime: "ONNX" })).body.errors[0]?.code, 7409);
  for (const body of [
    { name: "no spaces", runtime: "ONNX" },
    { name: "", runtime: "ONNX" },
    { name: "fine", runtime: "COBOL" },
    { name: 1 },
  ]) {
    const { status, body: envelope } = await platform.rest("POST", `${root()}/project`, body);
    assert.deepEqual([status, envelope.success], [400, false], JSON.stringify(body));
  }
  await platform.rest("POST", `${root()}/project`, { name: "passing", runtime: "ONNX" });
  const runtimes = (await old(["constellation", "runtime", "list"])).stdout;
  assert.match(runtimes, /│ name +│.*│ ONNX +│.*│ XGBoost +│/s);
  const catalog = (await old(["constellation", "catalog", "list"])).stdout;
  assert.match(catalog, /project_name.*│ image-classification +│ ONNX +│ squeezenet +│/s);
  const passing = (await platform.rest("GET", `${root()}/project?per_page=1&page=3`)).body.result[0].id;
  await upload(passing, "sub", subtract);
  await old(["constellation", "project", "delete", "passing", "--force"]);
  assert.equal((await platform.rest("GET", `${root()}/project/${passing}/model`)).status, 404, "its models go with it");
  assert.equal((await platform.rest("DELETE", `${root()}/project/${passing}`)).body.errors[0]?.code, 7404);
});

test("[constellation-05, constellation-12] wrangler uploads a model, and its id is one for sessions until it is deleted", {
  skip: noClient,
}, async () => {
  await writeFile(join(dir, "sub.onnx"), subtract);
  const made = await old(["constellation", "model", "upload", "numbers", "sub", "sub.onnx", "-d", "takes away"]);
  assert.match(made.stdout, /Successfully uploaded Model "sub"!/);
  const [model] = jsonOf(await old(["constellation", "model", "list", "numbers", "--json"]));
  assert.deepEqual(
    { ...model, id: "", created_at: "" },
    { id: "", project_id: project, name: "sub", description: "takes away", created_at: "" },
  );
  const id = model?.id as string;
  for (const library of LIBRARIES) {
    const { difference } = await run(id, [vector(5, 7), vector(1, 2)], { library });
    assert.deepEqual(difference, { type: "float32", shape: [2], name: "difference", value: [4, 5] });
  }
  await platform.restart();
  assert.deepEqual((await run(id, [vector(5, 7), vector(1, 2)])).difference?.value, [4, 5]);
  await old(["constellation", "model", "delete", "numbers", "sub", "--force"]);
  assert.match((await run(id, [vector(5, 7), vector(1, 2)])).error as string, /API returned 404: .*7405/);
  assert.deepEqual((await platform.rest("GET", `${root()}/project/${project}/model`)).body.result, []);
});

test("[constellation-13] models' names are taken once and have no other characters; what is no model is refused", {
  skip: noClient,
}, async () => {
  assert.equal((await upload(project, "once", subtract)).status, 200);
  const cases: [string, Uint8Array, number, RegExp][] = [
    ["once", subtract, 7408, /already exists/],
    ["with spaces", subtract, 7400, /must match/],
    ["garbage", new Uint8Array(1000).fill(7), 7422, /protobuf parsing failed/],
    ["empty", new Uint8Array(), 7422, /./],
    ["huge", new Uint8Array(10 * 1024 * 1024 + 1), 7413, /too large/],
  ];
  for (const [name, bytes, code, text] of cases) {
    const answer = await upload(project, name, bytes);
    assert.equal(answer.code, code, `${name}: ${answer.text}`);
    assert.match(answer.text, text);
  }
});

test("[constellation-01, constellation-02, constellation-03, constellation-04] tensors are as documented, in both libraries", {
  skip: noClient,
}, async () => {
  const seen = (await (await platform.fetch(`${url}/examples`)).json()) as Record<string, Record<string, Tensor & { error?: string }>>;
  for (const library of LIBRARIES) {
    const all = seen[library] as Record<string, Tensor & { error?: string }>;
    const whole = { type: "int32", name: null };
    assert.deepEqual(all.scalar, { type: "int16", shape: [], name: null, value: 123 });
    assert.deepEqual(all.vector, { ...whole, shape: [2], value: [1, 23] });
    assert.deepEqual(all.matrix, {
      ...whole,
      shape: [2, 2],
      value: [
        [1, 2],
        [3, 4],
      ],
    });
    assert.deepEqual(all.named, { ...whole, name: "foo", shape: [], value: 1 });
    assert.deepEqual(all.test, {
      type: "int32",
      shape: [2, 2],
      name: "test",
      value: [
        [1, 2],
        [3, 4],
      ],
    });
    assert.deepEqual(all.json, {
      type: "int32",
      name: "test",
      shape: [2, 2],
      value: [
        [1, 2],
        [3, 4],
      ],
    });
    assert.deepEqual(all.again, all.test);
    assert.deepEqual(all.wide?.value, ["9007199254740993", "-9223372036854775808"]);
    assert.deepEqual(all.wideAgain, ["9007199254740993", "-9223372036854775808"]);
    assert.equal(all.tooShort?.error, "invalid shape: expected 1 elements for shape 1 but value array has length 2");
    assert.match(all.fraction?.error as string, /non-integer element "1.5"/);
    assert.equal(all.wrongType?.error, 'unexpected type "int32" with value "1.5".');
    assert.equal(all.noBigint?.error, 'unexpected type "int64" with value "1".');
    const documented = ["bool", "float16", "float32", "int8", "int16", "int32", "int64"];
    const types = [...documented, "str", "uint8", "uint16", "uint32", "uint64"];
    assert.deepEqual(Object.values(all.types as object).sort(), [...types].sort());
    assert.deepEqual(all.byType, Object.fromEntries(Object.keys(all.byType as object).map((type) => [type, true])));
    assert.equal(Object.keys(all.byType as object).length, types.length);
  }
  // Where the older library flattens one level, ours follows the documentation's text.
  assert.deepEqual(seen.ours?.inferred?.shape, [3, 2]);
  assert.deepEqual(seen.ours?.deep?.shape, [3, 2, 2]);
  assert.deepEqual(seen.ours?.typed?.shape, [3]);
  assert.match(seen.ours?.ragged?.error as string, /cannot infer the shape/);
});

test("[constellation-04] elements of every type pass through a model unchanged", { skip: noClient }, async () => {
  const samples: Readonly<Record<string, readonly unknown[]>> = {
    ...{ bool: [true, false], float16: [0.5, -2], float32: [0.25, 1e10], str: ["ä", ""] },
    ...{
      int8: [-128, 127],
      int16: [-32_768, 32_767],
      int32: [-(2 ** 31), 2 ** 31 - 1],
      int64: ["9007199254740993", "-9223372036854775808"],
    },
    ...{ uint8: [0, 255], uint16: [0, 65_535], uint32: [0, 2 ** 32 - 1], uint64: ["0", "18446744073709551615"] },
  };
  const types = Object.keys(samples) as Value["type"][];
  const values = (prefix: string): Value[] => types.map((type) => ({ name: `${prefix}_${type}`, type, shape: [2] }));
  const nodes = types.map((type) => ({ op: "Identity", inputs: [`in_${type}`], outputs: [`out_${type}`] }));
  const { id } = await upload(project, "all-types", onnxModel({ inputs: values("in"), outputs: values("out"), nodes }));
  const inputs = Object.fromEntries(types.map((type) => [`in_${type}`, { type, value: samples[type], shape: [2] }]));
  const outputs = await run(id, inputs);
  assert.deepEqual(
    Object.values(outputs as Readonly<Record<string, Tensor>>).map(({ type, value }) => [type, value]),
    types.map((type) => [type, samples[type]]),
    outputs.error,
  );
  for (const [type, value] of Object.entries({ int8: [128, 0], uint64: ["-1", "0"] })) {
    // The client does not look at ranges.
    const { error } = await run(id, { ...inputs, [`in_${type}`]: { type, value, shape: [2] } });
    assert.match(error as string, new RegExp(`API returned 400: .*unexpected type .*${type}`));
  }
});

test("[constellation-06, constellation-07, constellation-08, constellation-09] inputs by array, by name in any order and by place; outputs by name", {
  skip: noClient,
}, async () => {
  const both = onnxModel({
    inputs: [float("a", [2, 2]), float("b", [2, 2])],
    outputs: [float("product", [2, 2]), float("sum", [2, 2])],
    nodes: [
      { op: "MatMul", inputs: ["a", "b"], outputs: ["product"] },
      { op: "Add", inputs: ["a", "b"], outputs: ["sum"] },
    ],
  });
  const { id } = await upload(project, "both", both);
  const [a, b] = [matrix(1, 2, 3, 4), matrix(5, 6, 7, 8)];
  const expected: Outputs = {
    product: { type: "float32", shape: [2, 2], name: "product", value: [19, 22, 43, 50] },
    sum: { type: "float32", shape: [2, 2], name: "sum", value: [6, 8, 10, 12] },
  };
  for (const library of LIBRARIES) {
    assert.deepEqual(
      await run(
        id,
        [
          { ...a, name: "a" },
          { ...b, name: "b" },
        ],
        { library },
      ),
      expected,
    );
    assert.deepEqual(
      await run(
        id,
        [
          { ...b, name: "b" },
          { ...a, name: "a" },
        ],
        { library },
      ),
      expected,
    );
    assert.deepEqual(await run(id, { b, a }, { library }), expected);
    assert.deepEqual(await run(id, [a, b], { library }), expected);
    assert.deepEqual((await run(id, [b, a], { library })).product?.value, [23, 34, 31, 46]);
  }
  assert.deepEqual(await ask("/once", { model: id, inputs: [a, b] }), expected);
  const refused: [readonly Wire[], RegExp][] = [
    [[a], /API returned 400: .*input 'b' is missing in 'feeds'\./],
    [[a, b, b], /the model takes 2 inputs, not 3/],
    [[a, { ...b, name: "c" }], /the model has no input 'c'/],
    [[b, { ...b, name: "a" }], /input 'a' is given twice/],
    [[a, { type: "float32", value: [1, 2, 3], shape: [3] }], /Invalid rank for input: b/],
    [[a, { type: "int32", value: [1, 2, 3, 4], shape: [2, 2] }], /Unexpected input data type/],
  ];
  for (const [inputs, text] of refused) assert.match((await run(id, inputs)).error ?? "no error", text);
});

test("[constellation-10] a hundred runs of a session load the model once; what is not used makes room", { skip: noClient }, async () => {
  const { id } = await upload(project, "counted", subtract);
  await run(id, [vector(1, 2), vector(3, 4)], { times: 100 });
  assert.equal(loads(id), 1);
  const others = await Promise.all(["second", "third"].map((name) => upload(project, name, subtract)));
  for (const other of others) assert.deepEqual((await run(other.id, [vector(1, 2), vector(3, 4)])).difference?.value, [-2, -2]);
  assert.deepEqual((await run(id, [vector(1, 2), vector(3, 4)])).difference?.value, [-2, -2]);
  assert.equal(loads(id), 2, "two have places");
});

test("[constellation-16] a SqueezeNet gives a thousand scores for a picture, as an uploaded model and from the catalog", {
  skip: noClient,
}, async () => {
  const { id } = await upload(project, "squeezenet", squeezeNet());
  const [entry] = (await platform.rest("GET", `${root()}/catalog`)).body.result as { models: { id: string }[] }[];
  const pixels = Array.from({ length: 3 * 224 * 224 }, (_, at) => Math.round(Math.sin(at) * 100) / 100);
  const scores: number[][] = [];
  for (const model of [id, entry?.models[0]?.id as string]) {
    const { scores: output, error } = await run(model, [{ type: "float32", shape: [1, 3, 224, 224], value: pixels }]);
    assert.deepEqual([output?.type, output?.shape], ["float32", [1, 1000]], error);
    scores.push(output?.value as number[]);
  }
  assert.deepEqual(scores[0], scores[1]);
  assert.ok(Math.abs((scores[0] as number[]).reduce((sum, score) => sum + score, 0) - 1) < 1e-4, "they are shares of one");
});

interface Forest {
  readonly rows: readonly (number | null)[][];
  readonly cases: readonly {
    readonly name: string;
    readonly model: XgboostModel;
    readonly prediction: number[];
    readonly shape: number[];
  }[];
}

test("[constellation-17] XGBoost's models predict what XGBoost predicts, and the same as their ONNX twins", {
  skip: noClient,
}, async () => {
  const golden = new URL("../../golden/constellation/xgboost.json", import.meta.url);
  const { rows, cases } = JSON.parse(await readFile(golden, "utf8")) as Forest;
  // JSON has no NaN: what is missing goes as null, which the library would refuse.
  const whole = rows.filter((row) => !row.includes(null));
  assert.ok(whole.length >= 2 && whole.length < rows.length);
  for (const { name, model, prediction, shape } of cases) {
    const uploaded = await upload(trees, name.replaceAll(" ", "-"), Buffer.from(JSON.stringify(model)));
    assert.equal(uploaded.status, 200, uploaded.text);
    const wide = shape[1] ?? 1;
    const expected = rows.flatMap((row, at) => (row.includes(null) ? [] : prediction.slice(at * wide, (at + 1) * wide)));
    const inputs = [{ type: "float32", value: whole.flat(), shape: [whole.length, 4] }];
    const outputs = await run(uploaded.id, inputs, { binding: "TREES" });
    assert.deepEqual(outputs.prediction?.shape, wide === 1 ? [whole.length] : [whole.length, wide], outputs.error);
    const close = (values: number[]): void => {
      assert.equal(values.length, expected.length);
      for (const [at, value] of values.entries())
        assert.ok(Math.abs(value - (expected[at] as number)) < 1e-5, `${name}: ${value} for ${expected[at]}`);
    };
    close(outputs.prediction?.value as number[]);
    const twin = treesAsOnnx(model);
    if (twin === undefined) continue;
    const { id, text } = await upload(project, `twin-${name.replaceAll(" ", "-")}`, twin);
    const twins = await run(id, inputs);
    assert.ok(twins.prediction !== undefined, twins.error ?? text);
    close(twins.prediction.value as number[]);
  }
});

test("models that spin or eat memory are ended, and reach nothing; others go on", { skip: noClient }, async () => {
  const body = {
    inputs: [long("i", []), { name: "go", type: "bool", shape: [] }, float("v", [1])],
    outputs: [{ name: "goes", type: "bool", shape: [] }, float("next", [1])],
    nodes: [
      { op: "Identity", inputs: ["go"], outputs: ["goes"] },
      { op: "Add", inputs: ["v", "v"], outputs: ["next"] },
    ],
  } as const;
  const spinning = onnxModel({
    inputs: [long("n", []), float("x", [1])],
    outputs: [float("y", [1])],
    nodes: [{ op: "Loop", inputs: ["n", "", "x"], outputs: ["y"], attributes: { body } }],
  });
  const [spin, eat, fine] = await Promise.all([
    upload(project, "spin", spinning),
    upload(project, "eat", oneNode("ConstantOfShape", [long("n", ["k"])], [float("o", ["x", "y"])])),
    upload(project, "fine", subtract),
  ]);
  const rounds = (n: string): Wire[] => [{ type: "int64", value: n, shape: [] }, vector(1)];
  const sizes = (...value: string[]): Wire[] => [{ type: "int64", value, shape: [value.length] }];
  assert.deepEqual((await run(spin.id, rounds("5"))).y?.value, [32]);
  // The run behind the one that spins is answered by a new thread.
  const [spun, behind, beside] = await Promise.all([
    run(spin.id, rounds("1000000000000000")),
    run(spin.id, rounds("3")),
    run(fine.id, [vector(3, 3), vector(1, 2)]),
  ]);
  assert.match(spun.error as string, /API returned 422: .*it took longer than/);
  assert.deepEqual(behind.y?.value, [8]);
  assert.deepEqual(beside.difference?.value, [2, 1]);
  assert.match((await run(eat.id, sizes("20000", "20000"))).error as string, /API returned 400: .*bad_alloc/);
  assert.match((await run(eat.id, sizes("2000", "2000"))).error as string, /the outputs have 4000000 elements/);
  assert.deepEqual((await run(eat.id, sizes("1", "2"))).o?.value, [0, 0]);
  for (const file of ["/etc/passwd", "weights.bin", "../../secret.key"]) {
    const inputs = [float("a", [2])];
    const initializers = [{ name: "b", type: "float32", shape: [2], data: { file } }] as const;
    const nodes = [{ op: "Add", inputs: ["a", "b"], outputs: ["c"] }];
    const { code, text } = await upload(project, "outside", onnxModel({ inputs, outputs: [float("c", [2])], initializers, nodes }));
    assert.equal(code, 7422, text);
  }
  // JSON that is small and has millions of lists, and JSON that is packed small and is large.
  const stuffed = `{"input":[{"type":"float32","value":[${"[],".repeat(2_500_000)}[]],"shape":[1]}]}`;
  for (const [text, status] of [
    [stuffed, 400],
    [`{"input":[${" ".repeat(9 * 1024 * 1024)}]}`, 413],
    [`{"input":${"[".repeat(1_000_000)}`, 400],
  ] as const) {
    const answer = await ask("/raw", { model: fine.id, text });
    assert.equal(answer.status as unknown, status, JSON.stringify(answer).slice(0, 500));
  }
  assert.deepEqual((await run(fine.id, [vector(3, 3), vector(1, 2)])).difference?.value, [2, 1]);
  assert.equal((await platform.rest("GET", `${root()}/project`)).status, 200);
});

test("a binding reaches its own project's models alone, and tokens do what their groups allow", { skip: noClient }, async () => {
  const { id } = await upload(project, "mine", subtract);
  assert.match((await run(id, [vector(1, 1), vector(1, 1)], { binding: "TREES" })).error as string, /API returned 404: .*7405/);
  const path = `${root()}/project/${trees}/model/${id}`;
  assert.equal((await platform.rest("DELETE", path)).status, 404);
  const reader = await platform.token(["Constellation Read"]);
  assert.equal((await platform.rest("GET", `${root()}/project`, undefined, reader.value)).status, 200);
  assert.equal((await platform.rest("DELETE", `${root()}/project/${project}`, undefined, reader.value)).status, 403);
  const form = new FormData();
  const bindings = [{ type: "constellation", name: "PROJECT", project: "nobody" }];
  form.set("metadata", JSON.stringify({ main_module: "index.js", bindings }));
  form.set("index.js", new File(["export default {}"], "index.js", { type: "application/javascript+module" }));
  const refused = await send("PUT", `/accounts/${platform.ready.account_id}/workers/scripts/stranger`, form);
  assert.match(refused.text, /there is no Constellation project "nobody"/);
});
