/** The Images binding from a deployed Worker: what comes out is decoded again and looked at pixel by pixel. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import opentype from "opentype.js";
import sharp, { type Color } from "sharp";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

/** A font whose letter A is a square of 700 of its 1,000 units, standing on the line; a space is as wide as the letter. */
function squares(): Buffer {
  const path = new opentype.Path();
  path.moveTo(0, 0);
  for (const [x, y] of [
    [0, 700],
    [700, 700],
    [700, 0],
  ] as const)
    path.lineTo(x, y);
  path.close();
  const blank = { advanceWidth: 1000, path: new opentype.Path() };
  const glyphs = [
    new opentype.Glyph({ name: ".notdef", ...blank }),
    new opentype.Glyph({ name: "space", unicode: 32, ...blank }),
    new opentype.Glyph({ name: "A", unicode: 65, advanceWidth: 1000, path }),
  ];
  const names = { familyName: "Squares", styleName: "Medium" };
  return Buffer.from(new opentype.Font({ ...names, unitsPerEm: 1000, ascender: 800, descender: -200, glyphs }).toArrayBuffer());
}

const platform = await startPlatform({ after });
const { url } = await deployWorker(platform, {
  files: {
    "index.js": `const FONT = "${squares().toString("base64")}";
      const streamOf = (text) => new Response(Uint8Array.fromBase64(text)).body;
      // An image in the body is described or taken through what the query says, as calls of the binding.
      async function hosted(env, name, options = {}) {
        const { image: id, bytes, ...rest } = options;
        switch (name) {
          case "upload": return env.IMAGES.hosted.upload(rest.encoding ? new Response(bytes).body : streamOf(bytes), rest);
          case "list": return env.IMAGES.hosted.list(rest);
          case "createDirectUpload": return env.IMAGES.hosted.createDirectUpload(rest);
          case "bytes": {
            const stream = await env.IMAGES.hosted.image(id).bytes();
            return stream && new Uint8Array(await new Response(stream).arrayBuffer()).toBase64();
          }
          default: return env.IMAGES.hosted.image(id)[name](rest);
        }
      }
      export default { async fetch(request, env) {
        if (request.method === "GET") return new Response(Uint8Array.fromBase64(FONT));
        const { image, overlay, steps = [], output, childOf = [], text, drawnText, call } = await request.json();
        try {
          if (call !== undefined) return Response.json(await hosted(env, ...call));
          if (output === undefined) return Response.json(await env.IMAGES.info(streamOf(image)));
          let picture = text === undefined ? env.IMAGES.input(streamOf(image)) : env.IMAGES.text(...text);
          for (const [name, options] of steps) {
            if (name === "transform") picture = picture.transform(options);
            else {
              let drawn = drawnText === undefined ? streamOf(overlay) : env.IMAGES.text(...drawnText);
              if (childOf.length > 0) drawn = childOf.reduce((child, options) => child.transform(options), env.IMAGES.input(drawn));
              picture = picture.draw(drawn, options);
            }
          }
          const result = await picture.output(output);
          if (output.twice) await picture.output(output);
          return result.response();
        } catch (error) { return Response.json({ code: error.code, message: error.message }, { status: 400 }); }
      } };`,
  },
  config: { name: "pictures", images: { binding: "IMAGES" } },
});

interface Asked {
  readonly overlay?: Buffer;
  readonly steps?: readonly (readonly ["transform" | "draw", object])[];
  readonly childOf?: readonly object[];
  readonly output?: object;
  readonly text?: readonly unknown[];
  readonly drawnText?: readonly unknown[];
}

async function ask(image: Buffer | undefined, { overlay, ...rest }: Asked = {}) {
  const body = JSON.stringify({ image: image?.toString("base64"), overlay: overlay?.toString("base64"), ...rest });
  const response = await platform.fetch(url, { method: "POST", body });
  return { status: response.status, type: response.headers.get("content-type"), bytes: Buffer.from(await response.arrayBuffer()) };
}

const refusal = async (image: Buffer, asked?: Asked) => JSON.parse((await ask(image, asked)).bytes.toString()) as Record<string, unknown>;

const plain = (width: number, height: number, background: Color) => sharp({ create: { width, height, channels: 4, background } });

/** Red on the left, blue on the right. */
async function halves(width: number, height: number): Promise<Buffer> {
  const right = await plain(width / 2, height, "blue")
    .png()
    .toBuffer();
  return plain(width, height, "red")
    .composite([{ input: right, left: width / 2, top: 0 }])
    .png()
    .toBuffer();
}

async function decoded(bytes: Buffer) {
  const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return {
    size: [info.width, info.height],
    /** Red, green, blue, each to the nearest quarter, so that compression does not show. */
    at: (x: number, y: number): number[] =>
      [...data.subarray((y * info.width + x) * 4, (y * info.width + x) * 4 + 3)].map((v) => Math.round(v / 64)),
  };
}

const RED = [4, 0, 0];
const BLUE = [0, 0, 4];
const WHITE = [4, 4, 4];

test("[images-45] the documented chain turns, shrinks and blurs an image, and gives AVIF", async () => {
  const steps = [
    ["transform", { rotate: 90 }],
    ["transform", { width: 128 }],
    ["transform", { blur: 20 }],
  ] as const;
  const image = await halves(400, 200);
  const { status, type, bytes } = await ask(image, { steps, output: { format: "image/avif" } });
  assert.deepEqual([status, type], [200, "image/avif"], bytes.toString().slice(0, 300));
  assert.equal((await sharp(bytes).metadata()).format, "heif");
  const blurred = await decoded(bytes);
  assert.deepEqual(blurred.size, [128, 256]);
  // Turned clockwise the left side is on top; where red meets blue there is a mixture now.
  assert.deepEqual([blurred.at(64, 10), blurred.at(64, 245)], [RED, BLUE]);
  const middle = blurred.at(64, 128);
  assert.ok(middle[0] === 2 && middle[2] === 2, String(middle));

  // Every format that the types of Workers have, with what its first bytes say it is.
  for (const [format, is] of [
    ["image/jpeg", "jpeg"],
    ["image/png", "png"],
    ["image/webp", "webp"],
    ["image/gif", "gif"],
  ] as const) {
    const out = await ask(image, { steps: [["transform", { width: 100 }]], output: { format, quality: 70 } });
    assert.equal(out.type, format);
    const { format: found, width, height } = await sharp(out.bytes).metadata();
    assert.deepEqual([found, width, height], [is, 100, 50]);
  }
  const sizes = await Promise.all(
    [20, 95].map(async (quality) => (await ask(image, { output: { format: "image/jpeg", quality } })).bytes.length),
  );
  assert.ok((sizes[0] as number) < (sizes[1] as number));
});

test("fit, gravity, pad, border, trim, flip and tones do what they say", async () => {
  const image = await halves(400, 200);
  const through = async (options: object) =>
    decoded((await ask(image, { steps: [["transform", options]], output: { format: "image/png" } })).bytes);
  for (const [options, size] of [
    [{ width: 800, fit: null }, [400, 200]],
    [{ width: 800, fit: "contain" }, [800, 400]],
    [{ width: 100, height: 100, fit: "contain" }, [100, 50]],
    [{ width: 100, height: 100, fit: "cover" }, [100, 100]],
    [{ width: 500, height: 100, fit: "crop" }, [400, 100]],
    [{ width: 100, height: 100, fit: "pad" }, [100, 100]],
    [{ width: 77, height: 99, fit: "squeeze" }, [77, 99]],
    [{ rotate: 270, width: 50 }, [50, 100]],
    [{ trim: { left: 150, width: 100 } }, [100, 200]],
    [{ border: { color: "#ffffff", width: 10 } }, [420, 220]],
  ] as const)
    assert.deepEqual((await through(options)).size, size, JSON.stringify(options));
  const cover = { width: 100, height: 100, fit: "cover" };
  for (const [gravity, pixels] of [
    ["left", [RED, RED]],
    ["right", [BLUE, BLUE]],
    [{ x: 0.5, y: 0.5 }, [RED, BLUE]],
  ] as const) {
    const { at } = await through({ ...cover, gravity });
    assert.deepEqual([at(10, 50), at(90, 50)], pixels);
  }
  assert.deepEqual((await through({ width: 100, height: 100, fit: "pad" })).at(50, 5), WHITE);
  assert.deepEqual((await through({ flip: "h" })).at(10, 10), BLUE);
  const grey = (await through({ saturation: 0 })).at(10, 10);
  assert.equal(new Set(grey).size, 1);
  assert.equal((await through({ brightness: 0.5 })).at(10, 10)[0], 2);
});

test("[images-46] a watermark that is a transformed child lies where its edges say", async () => {
  const canvas = await plain(300, 200, "white").png().toBuffer();
  const watermark = await plain(64, 64, "red").png().toBuffer();
  const asked = { overlay: watermark, childOf: [{ width: 32, height: 32 }], steps: [["draw", { bottom: 32, right: 32 }]] } as const;
  const { at, size } = await decoded((await ask(canvas, { ...asked, output: { format: "image/avif" } })).bytes);
  assert.deepEqual(size, [300, 200]);
  assert.deepEqual([at(238, 138), at(265, 165)], [RED, RED]);
  assert.deepEqual([at(230, 152), at(274, 152), at(252, 130), at(252, 174)], [WHITE, WHITE, WHITE, WHITE]);
  // In the middle without an edge, over all of it when it repeats, half seen through with an opacity.
  const draw = async (options: object) =>
    decoded((await ask(canvas, { overlay: watermark, steps: [["draw", options]], output: { format: "image/png" } })).bytes);
  const centred = await draw({});
  assert.deepEqual([centred.at(150, 100), centred.at(110, 100)], [RED, WHITE]);
  const tiled = await draw({ repeat: true, opacity: 0.5 });
  for (const [x, y] of [
    [1, 1],
    [150, 100],
    [298, 198],
  ] as const)
    assert.deepEqual(tiled.at(x, y), [4, 2, 2]);
  const row = await draw({ repeat: "x", top: 0 });
  assert.deepEqual([row.at(1, 1), row.at(298, 1), row.at(1, 100)], [RED, RED, WHITE]);
  const both = await refusal(canvas, { overlay: watermark, steps: [["draw", { left: 1, right: 1 }]], output: { format: "image/png" } });
  assert.equal(both.code, 9401);
});

test("[images-47] info tells format, size and bytes; of what is no image it is the error 9412", async () => {
  const image = await halves(120, 80);
  assert.deepEqual(await refusal(image), { format: "image/png", fileSize: image.length, width: 120, height: 80 });
  const photo = await sharp(image).jpeg().withMetadata({ orientation: 6 }).toBuffer();
  assert.deepEqual(await refusal(photo), { format: "image/jpeg", fileSize: photo.length, width: 80, height: 120 });
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="5" height="5"/>');
  assert.deepEqual(await refusal(svg), { format: "image/svg+xml" });
  const text = await refusal(Buffer.from("this is no image"));
  assert.equal(text.code, 9412);
  assert.match(text.message as string, /^IMAGES_INFO_ERROR 9412: /);
});

test("what cannot be done is refused by its number", async () => {
  const image = await halves(40, 20);
  const png = { format: "image/png" };
  const many = await sharp({ create: { width: 11_000, height: 9_500, channels: 3, background: "red" } })
    .png({ compressionLevel: 9 })
    .toBuffer();
  const long = await sharp({ create: { width: 12_001, height: 1, channels: 3, background: "red" } })
    .png()
    .toBuffer();
  for (const [input, asked, code] of [
    [image, { output: { format: "image/bmp" } }, 9520],
    [image, { steps: [["transform", { width: -1 }]], output: png }, 9401],
    [image, { steps: [["transform", { segment: "foreground" }]], output: png }, 9401],
    [image, { output: { ...png, quality: 101 } }, 9401],
    [image, { output: { ...png, twice: true } }, 9525],
    [many, { output: png }, 9413],
    [long, { output: png }, 9402],
    [image.subarray(0, image.length - 40), { output: png }, 9412],
  ] as const)
    assert.equal((await refusal(input, asked)).code, code, JSON.stringify(asked));
});

test("[images-48] hosted images, text in a font that a URL names, and raw pixels", async () => {
  const call = async (name: string, options: object = {}) => {
    const response = await platform.fetch(url, { method: "POST", body: JSON.stringify({ call: [name, options] }) });
    return { status: response.status, body: (await response.json()) as never as Record<string, never> & { message: string; code: number } };
  };
  const image = await halves(40, 20);
  const bytes = image.toString("base64");
  const { body: kept } = await call("upload", { bytes, filename: "a.png", metadata: { kind: "one", rank: 3 }, creator: "worker" });
  const { id, variants } = kept as never as { id: string; variants: string[] };
  assert.deepEqual([kept.filename, kept.creator, kept.requireSignedURLs], ["a.png", "worker", false]);
  const shown = await platform.fetch(variants[0] as string);
  assert.deepEqual((await decoded(Buffer.from(await shown.arrayBuffer()))).size, [40, 20]);
  const { body: second } = await call("upload", { bytes, id: "custom/b", encoding: "base64" });
  assert.equal(second.id, "custom/b");
  const exists = await call("upload", { bytes, id: "custom/b" });
  assert.match(exists.body.message, /IMAGES_HOSTED_ERROR 5409/);
  assert.deepEqual((await call("details", { image: id })).body.meta, { kind: "one", rank: 3 });
  assert.equal((await call("bytes", { image: "custom/b" })).body, bytes);
  assert.equal((await call("bytes", { image: "nothing" })).body, null);
  assert.equal((await call("details", { image: "nothing" })).body, null);
  const ids = async (options: object) => {
    const { images, listComplete, cursor } = (await call("list", options)).body as never as {
      images: { id: string }[];
      listComplete: boolean;
      cursor?: string;
    };
    return { ids: images.map((one) => one.id), listComplete, cursor };
  };
  const first = await ids({ limit: 1, sortOrder: "asc" });
  assert.deepEqual([first.ids, first.listComplete], [[id], false]);
  assert.deepEqual((await ids({ limit: 1, sortOrder: "asc", cursor: first.cursor })).ids, ["custom/b"]);
  assert.deepEqual((await ids({ filter: { metadata: { kind: "one", rank: { gte: 3, lt: 4 } } } })).ids, [id]);
  assert.equal((await call("update", { image: id, requireSignedURLs: true })).body.requireSignedURLs, true);
  assert.equal((await platform.fetch(variants[0] as string)).status, 403);
  const { body: signed } = await call("signedUrl", { image: id, variant: "public", expiresIn: 300 });
  assert.equal((await platform.fetch(signed as never as string)).status, 200);
  const { uploadURL, id: draft } = (await call("createDirectUpload", { expiresIn: 600 })).body as never as {
    uploadURL: string;
    id: string;
  };
  const form = new FormData();
  form.set("file", new Blob([image]), "c.png");
  assert.equal((await platform.fetch(uploadURL, { method: "POST", body: form })).status, 200);
  assert.equal((await call("details", { image: draft })).body.filename, "c.png");
  assert.deepEqual([(await call("delete", { image: id })).body, (await call("delete", { image: id })).body], [true, false]);

  // Two letters of 30 points, 40 pixels: each a square of 28 on the line, which is 32 from the top.
  const font = { url: `${url}/font.otf` };
  const png = { format: "image/png" };
  const written = await ask(undefined, { text: ["AA", { font, size: 30, color: "#ff0000" }], output: png });
  assert.equal(written.status, 200, written.bytes.toString());
  const { data, info } = await sharp(written.bytes).raw().toBuffer({ resolveWithObject: true });
  const pixel = (x: number, y: number) => [...data.subarray((y * info.width + x) * 4, (y * info.width + x) * 4 + 4)];
  assert.deepEqual([info.width, info.height], [80, 40]);
  assert.deepEqual(
    [pixel(10, 20), pixel(50, 20), pixel(34, 20)[3], pixel(10, 2)[3], pixel(10, 36)[3]],
    [[255, 0, 0, 255], [255, 0, 0, 255], 0, 0, 0],
  );
  const drawn = await decoded(
    (
      await ask(await plain(200, 100, "white").png().toBuffer(), {
        drawnText: ["A", { font, size: 30, color: "blue" }],
        steps: [["draw", { left: 0, top: 0 }]],
        output: png,
      })
    ).bytes,
  );
  assert.deepEqual([drawn.at(10, 20), drawn.at(34, 20)], [BLUE, WHITE]);
  for (const [what, code] of [
    [["A", { font: { url: `${url.replace("pictures", "nothing")}/font.otf` } }], 9404],
    [["A", { font: { url: "http://127.0.0.1:1/font.otf" } }], 9420],
    [["A", { font: { url: "file:///etc/passwd" } }], 9401],
    [["A", { font: { url: `${variants[0]}`.replace(/[^/]*\/public/, "custom/b/public") } }], 9520],
  ] as const)
    assert.equal(JSON.parse((await ask(undefined, { text: what, output: png })).bytes.toString()).code, code, JSON.stringify(what));

  const raw = await ask(image, { output: { format: "rgba" } });
  assert.deepEqual([raw.bytes.length, [...raw.bytes.subarray(0, 4)]], [40 * 20 * 4, [255, 0, 0, 255]]);
  assert.equal((await ask(image, { output: { format: "rgb" } })).bytes.length, 40 * 20 * 3);
});
