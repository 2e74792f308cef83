/** Runs models as it is asked, by Freehold's client library and by the one that the real service's clients had. */

import * as theirs from "@cloudflare/ai";
import * as ours from "@cloudflare/constellation";

const libraries = { ours, theirs };

const tried = async (work) => {
  try {
    return await work();
  } catch (error) {
    return { error: error.message };
  }
};

async function run(env, { library, binding = "PROJECT", model, inputs, times = 1 }) {
  const { Tensor, InferenceSession } = libraries[library];
  const made = Array.isArray(inputs)
    ? inputs.map((input) => Tensor.fromJSON(input))
    : Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, Tensor.fromJSON(input)]));
  const session = new InferenceSession(env[binding], model);
  let outputs;
  for (let i = 0; i < times; i++) outputs = await session.run(made);
  return outputs;
}

/** The documentation's examples, and what their properties are. */
async function examples({ Tensor, TensorType }) {
  const seen = ({ type, shape, name, value }) => ({ type, shape, name, value });
  const matrix = [
    [1, 2],
    [3, 4],
  ];
  const test = new Tensor(TensorType.Int32, matrix, { shape: [2, 2], name: "test" });
  const json = await test.toJSON();
  const wide = new Tensor(TensorType.Int64, [2n ** 53n + 1n, -(2n ** 63n)]);
  const made = (type, value, options) => tried(() => seen(new Tensor(type, value, options)));
  return {
    types: TensorType,
    scalar: await made(TensorType.Int16, 123),
    vector: await made(TensorType.Int32, [1, 23]),
    matrix: await made(TensorType.Int32, matrix, { shape: [2, 2] }),
    inferred: await made(TensorType.Int32, [
      [1, 2],
      [2, 4],
      [5, 6],
    ]),
    deep: await made(TensorType.Int32, [
      [
        [1, 2],
        [3, 4],
      ],
      [
        [5, 6],
        [7, 8],
      ],
      [
        [9, 10],
        [11, 12],
      ],
    ]),
    typed: await made(TensorType.Float32, new Float32Array([1, 2, 3])),
    named: await made(TensorType.Int32, 1, { name: "foo" }),
    test: seen(test),
    json,
    again: seen(Tensor.fromJSON(json)),
    wide: wide.toJSON(),
    wideAgain: Tensor.fromJSON(JSON.parse(JSON.stringify(wide))).value.map(String),
    tooShort: await made(TensorType.Int32, [1, 23], { shape: [1] }),
    fraction: await made(TensorType.Int32, [1, 23], { shape: [1.5] }),
    ragged: await made(TensorType.Int32, [[1, 2], [3]]),
    wrongType: await made(TensorType.Int32, [1.5]),
    noBigint: await made(TensorType.Int64, [1]),
    byType: Object.fromEntries(
      await Promise.all(
        Object.values(TensorType).map(async (type) => {
          const value = type === "str" ? ["a", "b"] : type === "bool" ? [true, false] : /64/.test(type) ? [1n, 2n] : [1, 2];
          const tensor = new Tensor(type, value);
          const back = Tensor.fromJSON(JSON.parse(JSON.stringify(tensor)));
          return [type, String(back.value) === String(value) && typeof back.value[0] === typeof value[0] && back.type === type];
        }),
      ),
    ),
  };
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/examples") return Response.json({ ours: await examples(ours), theirs: await examples(theirs) });
    const asked = await request.json();
    if (pathname === "/once") {
      const { Tensor, run: once } = ours;
      return Response.json(
        await tried(() =>
          once(
            env.PROJECT,
            asked.model,
            asked.inputs.map((input) => Tensor.fromJSON(input)),
          ),
        ),
      );
    }
    if (pathname === "/raw") {
      const body = new Response(asked.text).body.pipeThrough(new CompressionStream("gzip"));
      const headers = { "content-encoding": "gzip", "cf-consn-model-id": asked.model };
      const answer = await env.PROJECT.fetch("/run", { method: "POST", headers, body });
      return Response.json({ status: answer.status, text: await answer.text() });
    }
    return Response.json(await tried(() => run(env, asked)));
  },
};
