/**
 * Images from elsewhere, by transformation URLs on a zone and by `cf.image` of a Worker. One Worker is both: under `/o/` it
 * is the origin of all pictures, under `/via` it transforms them. What comes out is decoded again and looked at.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import sharp from "sharp";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { animation, atHost, BLUE, halves, plain, RED, saysItIs, seen, sparseAnimation, WHITE } from "../pictures.ts";

const platform = await startPlatform({ after }, { config: { "images.transformations_per_month": 5000 } });
const { account_id } = platform.ready;
const sdk = platform.sdk();
const { port } = new URL(platform.ready.gateway);
const HOST = "www.pictures.example";
const zones: Record<string, string> = {};
for (const name of ["pictures.example", "other.example", "third.example"])
  zones[name] = (await sdk.zones.create({ account: { id: account_id }, name })).id;
const setting = async (zone: string, name: string, value: string): Promise<void> => {
  const changed = (await sdk.zones.settings.edit(name, { zone_id: zones[zone] as string, value } as never)) as { value: string };
  assert.equal(changed.value, value);
};

const GREEN = [0, 4, 0];
/** Red above blue above green above white on the left, and so on: each eighth of the width and quarter of the height is told by its colour. */
const grid = await sharp({ create: { width: 400, height: 200, channels: 3, background: "white" } })
  .composite([
    { input: await plain(200, 100, "red").png().toBuffer(), left: 0, top: 0 },
    { input: await plain(200, 100, "blue").png().toBuffer(), left: 200, top: 0 },
    { input: await plain(200, 100, "lime").png().toBuffer(), left: 0, top: 100 },
  ])
  .png()
  .toBuffer();
const spot = await plain(300, 100, "white")
  .composite([{ input: await plain(60, 60, "red").png().toBuffer(), left: 230, top: 20 }])
  .removeAlpha()
  .png()
  .toBuffer();
const photo = await sharp(await halves(400, 200))
  .jpeg({ quality: 95 })
  .withExif({ IFD0: { Copyright: "The photographer", Software: "camera" }, IFD3: { GPSLatitudeRef: "N", GPSLatitude: "51/1 30/1 0/1" } })
  .toBuffer();
const svg = `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY e SYSTEM "file:///etc/passwd">]>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9" onload="alert(1)">
<script>alert(2)</script><style>@import url(https://evil.example/a.css); rect { fill: red }</style>
<a xlink:href="https://evil.example/"><rect id="r" width="9" height="9" fill="url(#g)" stroke="url(https://evil.example/s)"/></a>
<image href="https://evil.example/x.png"/><image href="data:image/png;base64,iVBORw0KGgo="/><image href="data:image/svg+xml;base64,PHN2Zy8+"/>
<use href="#r"/><use xlink:href="https://evil.example/y.svg#z"/><foreignObject><iframe src="https://evil.example/"/></foreignObject>
<set attributeName="href" to="javascript:alert(3)"/><text>&e;&amp;kept</text></svg>`;

interface Kept {
  readonly bytes: Buffer | string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}
const files: Record<string, Kept> = {
  "halves.png": { bytes: await halves(400, 200), headers: { etag: '"v1"', "cache-control": "max-age=600" } },
  "grid.png": { bytes: grid },
  "spot.png": { bytes: spot },
  "photo.jpg": { bytes: photo },
  "flat.png": { bytes: await plain(200, 200, { r: 120, g: 60, b: 60 }).removeAlpha().png().toBuffer() },
  "greys.png": {
    bytes: await plain(100, 50, { r: 110, g: 110, b: 110 })
      .composite([
        {
          input: await plain(50, 50, { r: 150, g: 150, b: 150 }).png().toBuffer(),
          left: 50,
          top: 0,
        },
      ])
      .removeAlpha()
      .png()
      .toBuffer(),
  },
  "clear.png": { bytes: await plain(40, 40, { r: 255, g: 0, b: 0, alpha: 0 }).png().toBuffer() },
  "framed.png": {
    bytes: await plain(100, 60, "white")
      .composite([{ input: await plain(60, 20, "red").png().toBuffer(), left: 20, top: 20 }])
      .removeAlpha()
      .png()
      .toBuffer(),
  },
  "mark.png": { bytes: await plain(20, 10, "lime").png().toBuffer() },
  "moving.gif": { bytes: await animation("gif", 40, 20, ["red", "lime", "blue"]) },
  "long.gif": { bytes: sparseAnimation(1000, 1255, 40) },
  "wide.png": {
    bytes: await sharp({ create: { width: 1700, height: 20, channels: 3, background: "red" } })
      .png()
      .toBuffer(),
  },
  "bomb.png": { bytes: await saysItIs(11_000, 9_500) },
  "endless.png": { bytes: await saysItIs(12_001, 2) },
  "broken.png": { bytes: (await halves(40, 20)).subarray(0, -30) },
  "drawing.svg": { bytes: svg, type: "image/svg+xml" },
  "laughs.svg": {
    bytes: `<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg"><text>&b;&b;&b;</text></svg>`,
    type: "image/svg+xml",
  },
  "page.html": { bytes: "<!doctype html><svg></svg>", type: "text/html" },
  "secret.png": { bytes: await plain(10, 10, "lime").png().toBuffer() },
};
const stored = Object.fromEntries(
  Object.entries(files).map(([name, { bytes, type = "image/png", headers = {} }]) => [
    name,
    { base64: Buffer.from(bytes).toString("base64"), headers: { "content-type": type, ...headers } },
  ]),
);
await deployWorker(platform, {
  files: {
    "files.json": JSON.stringify(stored),
    "index.js": `import files from "./files.json";
      const asked = {};
      function origin(request, name) {
        asked[name] = { count: (asked[name]?.count ?? 0) + 1, headers: Object.fromEntries(request.headers) };
        if (/^\\d+$/.test(name)) return new Response("no", { status: Number(name) });
        if (name === "moved.png") return Response.redirect(request.url.replace("moved", "halves"), 302);
        if (name === "round.png") return Response.redirect(request.url, 302);
        if (name === "nowhere.png") return new Response(null, { status: 302, headers: { location: "ftp://x/" } });
        if (name === "inside.png") return new Response(null, { status: 302, headers: { location: "http://127.0.0.1:${port}/client/v4/user" } });
        if (name === "metadata.png") return new Response(null, { status: 302, headers: { location: "http://169.254.169.254/latest/" } });
        if (name === "secret.png" && request.headers.get("authorization") !== "Bearer let me in") return new Response("no", { status: 401 });
        const file = files[name];
        if (file === undefined) return new Response("nothing", { status: 404 });
        const headers = new Headers(file.headers);
        return new Response(Uint8Array.fromBase64(file.base64), { headers });
      }
      export default { async fetch(request) {
        const { pathname, searchParams } = new URL(request.url);
        if (pathname.startsWith("/o/")) return origin(request, pathname.slice(3));
        if (pathname === "/asked") return Response.json(asked);
        if (pathname === "/loop") return fetch(request, { cf: { image: { width: 10 } } });
        const image = JSON.parse(searchParams.get("image"));
        const headers = searchParams.has("auth") ? { authorization: "Bearer let me in", cookie: "a=1", "x-private": "yes" } : {};
        try { return await fetch(searchParams.get("url"), { headers, cf: { image } }); }
        catch (error) { return new Response(String(error), { status: 555 }); }
      } };`,
  },
  config: {
    name: "pictures",
    routes: ["pictures.example", "other.example", "third.example"].map((zone_name) => ({ pattern: `*.${zone_name}/*`, zone_name })),
  },
});

const ask = (options: string, image: string, headers: Record<string, string> = {}) =>
  atHost(platform, HOST, `/cdn-cgi/image/${options}/${image}`, headers);
/** What came, decoded; it must be an image. */
async function look(options: string, image: string, headers: Record<string, string> = {}) {
  const answer = await ask(options, image, headers);
  assert.equal(answer.status, 200, `${options} ${image}: ${answer.bytes.toString().slice(0, 200)}`);
  return { ...(await seen(answer.bytes)), bytes: answer.bytes, headers: answer.headers };
}
const via = (image: object, url: string, more = "") =>
  atHost(platform, HOST, `/via?${new URLSearchParams({ url, image: JSON.stringify(image) })}${more}`);
const own = (name: string, host = HOST): string => `http://${host}:${port}/o/${name}`;
const asked = async () =>
  JSON.parse((await atHost(platform, HOST, "/asked")).bytes.toString()) as Record<
    string,
    { count: number; headers: Record<string, string> }
  >;

test("[images-21, images-22] a zone's URL gives the image smaller, once the zone has transformations; six ways to fit", async () => {
  assert.equal((await ask("width=80,quality=75", "o/photo.jpg")).status, 404);
  await setting("pictures.example", "transformations", "on");
  assert.equal(
    ((await sdk.zones.settings.get("image_resizing", { zone_id: zones["pictures.example"] as string })) as { value: string }).value,
    "on",
  );
  const small = await look("width=80,quality=75", "o/photo.jpg");
  assert.deepEqual([small.size, small.format, small.headers["content-type"]], [[80, 40], "jpeg", "image/jpeg"]);
  assert.match(String(small.headers["cf-resized"]), /^internal=ok/);
  for (const [options, size] of [
    ["fit=scale-down,width=800,height=800", [400, 200]],
    ["fit=contain,width=800,height=800", [800, 400]],
    ["fit=cover,width=100,height=100", [100, 100]],
    ["fit=crop,width=500,height=100", [400, 100]],
    ["fit=pad,width=100,height=100", [100, 100]],
    ["fit=squeeze,width=77,height=99", [77, 99]],
  ] as const)
    assert.deepEqual((await look(options, "o/photo.jpg")).size, size, options);
});

test("[images-23] gravity keeps the side, the point, or what draws the eye", async () => {
  const corners = async (gravity: string, fit = "fit=cover,width=100,height=100") => {
    const { at } = await look(`${fit},gravity=${gravity},format=png`, "o/grid.png");
    return [at(10, 10), at(89, 10), at(10, 89), at(89, 89)];
  };
  assert.deepEqual(await corners("left"), [RED, RED, GREEN, GREEN]);
  assert.deepEqual(await corners("right"), [BLUE, BLUE, WHITE, WHITE]);
  assert.deepEqual(await corners("0.5x0.5"), [RED, BLUE, GREEN, WHITE]);
  assert.deepEqual(await corners("0x1"), [RED, RED, GREEN, GREEN]);
  const rows = async (gravity: string) => {
    const { at } = await look(`fit=cover,width=200,height=50,gravity=${gravity},format=png`, "o/grid.png");
    return [at(20, 5), at(20, 45)];
  };
  assert.deepEqual(await rows("top"), [RED, RED]);
  assert.deepEqual(await rows("bottom"), [GREEN, GREEN]);
  const { at } = await look("fit=cover,width=100,height=100,g=auto,format=png", "o/spot.png");
  assert.ok(
    [20, 40, 60, 80].some((x) => at(x, 50).join() === RED.join()),
    "the red square is in it",
  );
});

test("[images-25, images-26, images-30] formats by name and by what the client takes; a description; aliases and dpr", async () => {
  const start = async (options: string, headers = {}) => (await look(options, "o/photo.jpg", headers)).bytes;
  assert.equal((await start("format=avif")).toString("latin1", 4, 12), "ftypavif");
  assert.match((await start("format=webp")).toString("latin1", 0, 16), /^RIFF....WEBPVP8/s);
  // The marker of a progressive JPEG's frame, and of a baseline one's.
  const frameOf = (jpeg: Buffer): string =>
    jpeg.includes(Buffer.from([0xff, 0xc2])) ? "progressive" : jpeg.includes(Buffer.from([0xff, 0xc0])) ? "baseline" : "none";
  assert.equal(frameOf(await start("format=jpeg")), "progressive");
  assert.equal(frameOf(await start("format=baseline-jpeg")), "baseline");
  assert.equal(frameOf(await start("format=jpeg,width=50")), "baseline");
  for (const [accept, format] of [
    ["image/avif,image/webp", "heif"],
    ["image/webp", "webp"],
    ["*/*", "jpeg"],
  ] as const) {
    const { format: made, headers } = await look("format=auto", "o/halves.png", { accept });
    assert.deepEqual([made, headers.vary], [format, "Accept"]);
    assert.equal((await look("width=50", "o/halves.png", { accept })).format, "jpeg");
  }
  // What is seen through stays so; one quality for PNG makes a palette, and 100 a WebP without loss.
  const clear = await look("width=20", "o/clear.png");
  assert.deepEqual([clear.format, clear.pixel(5, 5)[3]], ["png", 0]);
  assert.equal((await sharp(await start("format=png,q=50")).metadata()).isPalette, true);
  assert.equal((await look("format=webp,quality=100", "o/halves.png")).bytes.toString("latin1", 12, 16), "VP8L");
  const lengths = await Promise.all(["low", "medium-low", "medium-high", "high"].map(async (q) => (await start(`q=${q}`)).length));
  assert.deepEqual(
    lengths,
    lengths.toSorted((a, b) => a - b),
  );

  const described = await ask("format=json,width=100", "o/photo.jpg");
  assert.equal(described.headers["content-type"], "application/json");
  const original = { file_size: photo.length, width: 400, height: 200, format: "image/jpeg" };
  assert.deepEqual(JSON.parse(described.bytes.toString()), { width: 100, height: 50, original });
  assert.deepEqual((await look("w=100,dpr=2", "o/photo.jpg")).size, [200, 100]);
  const short = await look("w=60,h=60,fit=cover,g=right,f=webp,q=90", "o/photo.jpg");
  assert.deepEqual([short.size, short.format, short.at(5, 30)], [[60, 60], "webp", BLUE]);
});

test("[images-27] tones go the way they say, and blur and sharpen take and give edges", async () => {
  const mean = async (options: string) => Math.round((await look(`${options},format=png`, "o/flat.png")).mean);
  const plainMean = await mean("width=200");
  assert.equal(plainMean, 80);
  for (const [options, expected] of [
    ["brightness=0.5", 40],
    ["brightness=2", 160],
    ["brightness=1", 80],
    ["brightness=0", 80],
    ["contrast=0", 80],
    ["gamma=0", 80],
  ] as const)
    assert.ok(Math.abs((await mean(options)) - expected) <= 2, `${options}: ${await mean(options)}`);
  assert.ok((await mean("gamma=0.5")) < 60 && (await mean("gamma=2")) > 100);
  // Around the middle grey: what is darker goes further from it, or comes nearer.
  assert.ok((await mean("contrast=1.5")) < 70 && (await mean("contrast=0.5")) > 95);
  const pixel = async (options: string) => (await look(`${options},format=png`, "o/flat.png")).pixel(10, 10).slice(0, 3);
  assert.equal(new Set(await pixel("saturation=0")).size, 1);
  const [red = 0, green = 0] = await pixel("saturation=2");
  assert.ok(red - green > 70, `${red} ${green}`);
  const deviation = async (options: string) => (await look(`${options},format=png`, "o/greys.png")).deviation;
  const [blurred, edged, sharpened] = [await deviation("blur=60"), await deviation("width=100"), await deviation("sharpen=5")];
  assert.ok(blurred < edged && edged < sharpened, `${blurred} ${edged} ${sharpened}`);
  assert.ok((await deviation("sharpen=10")) > sharpened);
});

test("[images-28, images-29] rotate, flip and trim before the size; background, pad and border", async () => {
  const at = async (options: string, x: number, y: number, image = "grid.png") =>
    (await look(`${options},format=png`, `o/${image}`)).at(x, y);
  assert.deepEqual(await at("rotate=90", 10, 10), GREEN);
  assert.deepEqual((await look("rotate=90,width=100", "o/grid.png")).size, [100, 200]);
  assert.deepEqual(await at("rotate=180", 10, 10), WHITE);
  assert.deepEqual(await at("rotate=270", 10, 10), BLUE);
  assert.deepEqual([await at("flip=h", 10, 10), await at("flip=v", 10, 10), await at("flip=hv", 10, 10)], [BLUE, GREEN, WHITE]);
  // Flipped first: the blue corner comes to the left, and from there to the top right.
  assert.deepEqual(await at("flip=h,rotate=90", 190, 10), BLUE);
  assert.deepEqual((await look("trim=20;30;20;0", "o/grid.png")).size, [370, 160]);
  assert.deepEqual((await look("trim=10;10;10;10,dpr=2", "o/grid.png")).size, [360, 160]);
  const cut = await look("trim.width=50,trim.height=40,trim.left=250,trim.top=20,format=png", "o/grid.png");
  assert.deepEqual([cut.size, cut.at(5, 5)], [[50, 40], BLUE]);
  for (const [options, size] of [
    ["trim=border", [60, 20]],
    ["trim.border.color=white,trim.border.tolerance=5", [60, 20]],
    ["trim=border,trim.border.keep=5", [70, 30]],
  ] as const)
    assert.deepEqual((await look(options, "o/framed.png")).size, size, options);

  assert.deepEqual(await at("fit=pad,width=100,height=100", 50, 5), WHITE);
  assert.deepEqual(await at("fit=pad,width=100,height=100,background=%2300ff00", 50, 5), GREEN);
  assert.deepEqual(await at("background=rgb%280%2C0%2C255%29", 5, 5, "clear.png"), BLUE);
  assert.deepEqual(await at("background=rgb%280%200%20255%29", 5, 5, "clear.png"), BLUE);
  const bordered = await via({ width: 100, dpr: 2, border: { color: "#00ff00", width: 10 }, format: "png" }, own("grid.png"));
  const border = await seen(bordered.bytes);
  assert.deepEqual([border.size, border.at(10, 10), border.at(25, 25)], [[240, 140], GREEN, RED]);
  const sides = await seen(
    (await via({ border: { color: "blue", top: 5, left: 7, right: 0, bottom: 0 }, format: "png" }, own("grid.png"))).bytes,
  );
  assert.deepEqual([sides.size, sides.at(3, 100)], [[407, 205], BLUE]);
});

test("[images-31, images-38] animations keep their frames; what is too large falls back or is left as it is", async () => {
  const gif = await look("width=20", "o/moving.gif");
  assert.deepEqual([gif.format, gif.frames, gif.size], ["gif", 3, [20, 10]]);
  assert.deepEqual((await sharp(gif.bytes).metadata()).delay, [100, 100, 100]);
  const last = await seen(await sharp(gif.bytes, { page: 2 }).png().toBuffer());
  assert.deepEqual(last.at(5, 5), BLUE);
  const webp = await look("format=webp,rotate=90", "o/moving.gif");
  assert.deepEqual([webp.format, webp.frames, webp.size], ["webp", 3, [20, 40]]);
  const still = await look("anim=false,width=20", "o/moving.gif");
  assert.deepEqual([still.format, still.frames, still.at(5, 5)], ["jpeg", 1, RED]);
  assert.equal((await look("format=auto", "o/moving.gif", { accept: "image/avif,image/webp" })).format, "webp");

  // Of our own accord AVIF has 1,200 pixels, asked for 1,600; past it WebP.
  const accept = "image/avif,image/webp";
  assert.equal((await look("format=auto,width=1200", "o/wide.png", { accept })).format, "heif");
  assert.equal((await look("format=auto,width=1300", "o/wide.png", { accept })).format, "webp");
  assert.equal((await look("format=avif,width=1300", "o/wide.png")).format, "heif");
  assert.equal((await look("format=avif", "o/wide.png")).format, "webp");
  assert.deepEqual((await ask("width=10,format=webp", "o/long.gif")).bytes, files["long.gif"]?.bytes);
});

test("[images-32] the copyright alone is kept by default, everything when asked, nothing when not wanted", async () => {
  const exif = async (options: string) => (await sharp((await look(options, "o/photo.jpg")).bytes).metadata()).exif;
  const standard = await exif("width=100");
  assert.deepEqual([standard?.includes("The photographer"), standard?.includes("camera")], [true, false]);
  const kept = await exif("width=100,metadata=keep");
  assert.deepEqual([kept?.includes("The photographer"), kept?.includes("camera")], [true, true]);
  // The directory of GPS data is named by its tag, in either byte order.
  const gps = (bytes: Buffer | undefined): boolean =>
    bytes?.includes(Buffer.from([0x25, 0x88])) === true || bytes?.includes(Buffer.from([0x88, 0x25])) === true;
  assert.deepEqual([gps(photo), gps(kept), gps(standard)], [true, true, false]);
  assert.equal(await exif("width=100,metadata=none"), undefined);
  assert.equal(await exif("width=100,metadata=keep,format=webp"), undefined);
});

test("[images-33] width=auto and the quality of slow connections follow what the client says of itself", async () => {
  const width = async (headers: Record<string, string>) => (await look("width=auto,fit=contain", "o/photo.jpg", headers)).size[0];
  for (const [agent, expected] of [
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0", 960],
    ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148", 320],
    ["Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140.0 Mobile", 320],
    ["Mozilla/5.0 (Linux; Android 15; SM-X710) Chrome/140.0", 768],
  ] as const)
    assert.equal(await width({ "user-agent": agent }), expected, agent);
  for (const [viewport, density, expected] of [
    ["300", "1", 320],
    ["384", "2", 768],
    ["900", "1", 960],
    ["1600", "2", 1200],
  ] as const)
    assert.equal(await width({ "sec-ch-viewport-width": viewport, "sec-ch-dpr": density }), expected);
  const size = async (headers: Record<string, string>) => (await look("q=95,scq=20", "o/photo.jpg", headers)).bytes.length;
  const normal = await size({});
  for (const hint of [{ rtt: "200" }, { "save-data": "on" }, { ect: "3g" }, { downlink: "1.5" }])
    assert.ok((await size(hint as never)) < normal, JSON.stringify(hint));
  for (const hint of [{ rtt: "50" }, { ect: "4g" }, { downlink: "10" }])
    assert.equal(await size(hint as never), normal, JSON.stringify(hint));
});

test("[images-34, images-39] what goes wrong has its number in header and body, or leads to the image itself", async () => {
  await setting("pictures.example", "transformations", "open");
  const wrong = async (options: string, image: string, headers = {}) => {
    const { status, headers: answered, bytes } = await ask(options, image, headers);
    const number = Number(/^err=(\d+)$/.exec(String(answered["cf-resized"]))?.[1]);
    assert.match(bytes.toString(), new RegExp(`^ERROR ${number}: .`));
    return [number, status];
  };
  for (const [options, image, number, status] of [
    ["width=none", "o/photo.jpg", 9401, 400],
    ["nonsense=1", "o/photo.jpg", 9401, 400],
    ["width=10,,height=5", "o/photo.jpg", 9401, 400],
    ["background=nonsense", "o/clear.png", 9401, 400],
    ["gravity=face,fit=cover,width=9,height=9", "o/photo.jpg", 9401, 400],
    ["segment=foreground", "o/photo.jpg", 9401, 400],
    ["width=10", "o/endless.png", 9402, 413],
    ["width=10", `http://${HOST}:${port}/cdn-cgi/image/width=5/o/photo.jpg`, 9403, 400],
    ["width=10", "o/nothing.png", 9404, 404],
    ["width=10", "ftp://pictures.example/x.png", 9406, 400],
    ["width=10", "https://user:pass@pictures.example/x.png", 9406, 400],
    ["width=10", "http://nobody.invalid/x.png", 9407, 502],
    ["width=10", "o/403", 9408, 403],
    ["width=10", "o/page.html", 9412, 415],
    ["width=10", "o/broken.png", 9412, 415],
    ["width=10", "o/bomb.png", 9413, 413],
    ["width=10", "o/nowhere.png", 9420, 502],
    ["width=10", "o/round.png", 9421, 502],
    ["width=10", "o/503", 9509, 502],
  ] as const)
    assert.deepEqual(await wrong(options, image), [number, status], `${options} ${image}`);
  // A URL that no client would send itself.
  const unescaped = await via({ draw: [{ url: own("a mark.png") }] }, own("photo.jpg"));
  assert.deepEqual([unescaped.headers["cf-resized"], unescaped.bytes.toString().slice(0, 11)], ["err=9419", "ERROR 9419:"]);
  const redirected = await ask("width=10,onerror=redirect", "o/503");
  assert.deepEqual([redirected.status, redirected.headers.location], [307, `http://${HOST}:${port}/o/503`]);
  const subdomain = await ask("width=10,onerror=redirect", own("503", "img.pictures.example"));
  assert.equal(subdomain.status, 307);
  // Of another domain it is ignored.
  assert.deepEqual(await wrong("width=10,onerror=redirect", own("503", "www.other.example")), [9509, 502]);
  assert.deepEqual((await look("width=40", "o/moved.png")).size, [40, 20]);
});

test("nobody gets inside by an image's URL, a redirect, an overlay, or a picture that is none", async () => {
  for (const url of [
    `http://127.0.0.1:${port}/client/v4/user`,
    `http://localhost:${port}/`,
    `http://[::1]:${port}/`,
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/x.png",
    `http://api.${platform.ready.domain}:${port}/client/v4/user`,
    own("inside.png"),
    own("metadata.png"),
  ]) {
    const { headers, status } = await ask("width=10", url);
    assert.match(String(headers["cf-resized"]), /^err=(9420|9407|9510)$/, `${url}: ${status}`);
    const overlaid = await via({ draw: [{ url }] }, own("photo.jpg"));
    assert.match(String(overlaid.headers["cf-resized"]), /^err=(9420|9407|9510)$/, url);
  }
  const laughs = await ask("width=10", "o/laughs.svg");
  assert.equal(laughs.status, 200);
  assert.ok(laughs.bytes.length < 500 && !laughs.bytes.includes("haha"), laughs.bytes.toString());
});

test("[images-36] an SVG image draws as before, and does nothing else", async () => {
  const { bytes, headers } = await ask("width=5", "o/drawing.svg");
  const text = bytes.toString();
  assert.equal(headers["content-type"], "image/svg+xml");
  assert.match(String(headers["content-security-policy"]), /default-src 'none'/);
  assert.doesNotMatch(text, /script|onload|evil|import|foreignObject|iframe|javascript|passwd|DOCTYPE|svg\+xml/i);
  for (const kept of ['width="9"', '<rect id="r"', 'fill="url(#g)"', 'href="#r"', "data:image/png;base64,iVBORw0KGgo=", "&amp;kept"])
    assert.ok(text.includes(kept), `${kept} in ${text}`);
  assert.equal((await sharp(bytes).metadata()).format, "svg");
});

test("[images-40] images come from the zone itself and from the origins that it allows", async () => {
  await setting("pictures.example", "transformations", "on");
  const allowed = async (host: string, path = "halves.png") => {
    const { status, headers, bytes } = await ask("width=10", own(path, host));
    if (status !== 200)
      assert.deepEqual(
        [status, headers["cf-resized"], bytes.toString()],
        [403, "err=9401", "ERROR 9401: Transformation origin is not in allowed origins list"],
      );
    return status === 200;
  };
  assert.deepEqual([await allowed("img.pictures.example"), await allowed("www.other.example")], [true, false]);
  await setting("pictures.example", "transformations_allowed_origins", "www.other.example,*.third.example/o/gr");
  assert.deepEqual(
    [await allowed("www.other.example"), await allowed("img.other.example"), await allowed("evilwww.other.example")],
    [true, false, false],
  );
  assert.deepEqual([await allowed("a.third.example", "grid.png"), await allowed("a.third.example")], [true, false]);
  const refused = await platform.rest("PATCH", `/zones/${zones["pictures.example"]}/settings/transformations_allowed_origins`, {
    value: "not a host",
  });
  assert.equal(refused.status, 400);
  await setting("pictures.example", "transformations_allowed_origins", "");
  assert.equal(await allowed("www.other.example"), false);
});

test("[images-41, images-42, images-43] a Worker's fetch() transforms; it says so to the origin, never goes round, and shares what it may", async () => {
  const made = await via({ width: 50, format: "webp" }, own("photo.jpg"));
  assert.deepEqual([made.status, (await seen(made.bytes)).size], [200, [50, 25]]);
  assert.match(String(made.headers["cf-resized"]), /^internal=ok/);
  assert.match((await asked())["photo.jpg"]?.headers.via ?? "", /image-resizing/);
  const wrong = await via({ width: "wide" }, own("photo.jpg"));
  assert.deepEqual([wrong.status, wrong.headers["cf-resized"]], [400, "err=9401"]);
  // The Worker answers its own request for the image by transforming it again.
  const round = await atHost(platform, HOST, "/loop");
  assert.equal(round.headers["cf-resized"], "err=9403", round.bytes.toString());
  const overlap = await ask("width=5", "loop");
  assert.equal(overlap.headers["cf-resized"], "err=9403", overlap.bytes.toString());

  const anonymous = await via({ width: 5 }, own("secret.png"), "&auth");
  assert.deepEqual([anonymous.status, anonymous.headers["cf-resized"]], [401, "err=9408"]);
  const { cookie, authorization } = (await asked())["secret.png"]?.headers ?? {};
  assert.deepEqual([cookie, authorization], [undefined, undefined]);
  const shared = await via({ width: 5, "origin-auth": "share-publicly" }, own("secret.png"), "&auth");
  assert.equal(shared.status, 200, shared.bytes.toString());
  const { headers = {} } = (await asked())["secret.png"] ?? {};
  assert.deepEqual([headers.authorization, headers.cookie, headers["x-private"]], ["Bearer let me in", "a=1", undefined]);
});

test("[images-44] overlays are drawn in their order, placed, tiled and seen through", async () => {
  const draw = async (...overlays: object[]) => {
    const answer = await via({ format: "png", draw: overlays.map((overlay) => ({ url: own("mark.png"), ...overlay })) }, own("flat.png"));
    assert.equal(answer.status, 200, answer.bytes.toString());
    return seen(answer.bytes);
  };
  const base = (await seen(files["flat.png"]?.bytes as Buffer)).at(0, 0);
  const corner = await draw({ bottom: 5, right: 5 });
  assert.deepEqual([corner.size, corner.at(180, 190), corner.at(197, 190), corner.at(180, 197)], [[200, 200], GREEN, base, base]);
  const centred = await draw({});
  assert.deepEqual([centred.at(100, 100), centred.at(80, 100)], [GREEN, base]);
  const tiled = await draw({ repeat: true, opacity: 0.5 });
  for (const [x, y] of [
    [1, 1],
    [99, 150],
    [198, 198],
  ] as const)
    assert.ok(Math.abs((tiled.pixel(x, y)[1] as number) - (60 + 255) / 2) <= 3, String(tiled.pixel(x, y)));
  const row = await draw({ repeat: "x", top: 0 });
  assert.deepEqual([row.at(1, 5), row.at(198, 5), row.at(1, 50)], [GREEN, GREEN, base]);
  const two = await draw(
    { left: 0, top: 0, width: 40, height: 40, fit: "squeeze" },
    { url: own("clear.png"), left: 0, top: 0, background: "blue" },
  );
  assert.deepEqual([two.at(10, 10), two.at(50, 50)], [BLUE, base]);
  assert.deepEqual((await draw({ rotate: 90, left: 0, top: 0 })).at(5, 15), GREEN);
  for (const overlay of [{ left: 1, right: 1 }, { top: 1, bottom: 1 }, { opacity: 2 }]) {
    const refused = await via({ draw: [{ url: own("mark.png"), ...overlay }] }, own("flat.png"));
    assert.deepEqual([refused.status, refused.headers["cf-resized"]], [400, "err=9401"], JSON.stringify(overlay));
  }
});

test("[images-49] an image is fetched once for all that is made of it, until its URL is purged; ETags tell of it", async () => {
  const count = async () => (await asked())["halves.png"]?.count ?? 0;
  const path = "o/halves.png";
  const first = await look("width=33", path);
  const before = await count();
  const again = await look("width=33", path);
  const other = await look("width=34", path);
  assert.equal(await count(), before);
  assert.deepEqual([again.headers["cf-cache-status"], other.headers["cf-cache-status"]], ["HIT", "MISS"]);
  assert.match(String(first.headers.etag), /^"cf-[0-9a-f]+:v1"$/);
  assert.equal(first.headers["cache-control"], "max-age=600");
  const unchanged = await ask("width=33", path, { "if-none-match": String(first.headers.etag) });
  assert.deepEqual([unchanged.status, unchanged.bytes.length], [304, 0]);
  await sdk.cache.purge({ zone_id: zones["other.example"] as string, files: [own("halves.png")] });
  assert.equal((await look("width=33", path)).headers["cf-cache-status"], "HIT");
  await sdk.cache.purge({ zone_id: zones["pictures.example"] as string, files: [own("halves.png")] });
  assert.equal((await look("width=33", path)).headers["cf-cache-status"], "MISS");
  assert.equal(await count(), before + 1);
  assert.equal((await look("width=34", path)).headers["cf-cache-status"], "MISS");
  await sdk.cache.purge({ zone_id: zones["pictures.example"] as string, purge_everything: true });
  assert.equal((await look("width=34", path)).headers["cf-cache-status"], "MISS");
});

/** What `getImageProps` of `next/image` (Next.js 16) gives for three images with the documentation's loader. */
const nextImages = [
  "/cdn-cgi/image/width=256/o/photo.jpg 1x, /cdn-cgi/image/width=640/o/photo.jpg 2x",
  [640, 750, 828, 1080, 1200, 1920, 2048, 3840].map((width) => `/cdn-cgi/image/width=${width},quality=60/o/photo.jpg ${width}w`).join(", "),
  `/cdn-cgi/image/width=256/${own("photo.jpg")} 1x, /cdn-cgi/image/width=640/${own("photo.jpg")} 2x`,
];

test("[images-52] the URLs that next/image writes with the documentation's loader give their images", async () => {
  for (const source of nextImages.flatMap((srcSet) => srcSet.split(", "))) {
    const [, options = "", width, image = ""] = /^\/cdn-cgi\/image\/(width=(\d+)\S*?)\/(\S+) \d+[xw]$/.exec(source) ?? [];
    const { size, format } = await look(options, image);
    // Never larger than the image is.
    const shown = Math.min(Number(width), 400);
    assert.deepEqual([size, format], [[shown, shown / 2], "jpeg"], source);
  }
});

test("[images-39, images-51] a transformation counts once a month, whatever its format; the 5,001st is refused, what is kept is not", async () => {
  const count = async (): Promise<number> => {
    const { products } = (await platform.rest("GET", "/freehold/status")).body.result as { products: { name: string; detail: string }[] };
    const detail = products.find(({ name }) => name === "images")?.detail ?? "";
    return Number(/(\d+) unique transformations/.exec(detail)?.[1]);
  };
  const before = await count();
  for (const options of ["width=61", "width=61", "w=61,f=webp", "format=auto,width=61"]) await look(options, "o/photo.jpg");
  assert.equal(await count(), before + 1);
  await look("width=62", "o/photo.jpg");
  assert.equal(await count(), before + 2);
  // What draws costs nothing to transform: each blur is a transformation of its own all the same.
  let next = 0;
  const fill = async (): Promise<void> => {
    while (before + 2 + next < 5000) assert.equal((await ask(`blur=${1 + next++ / 100}`, "o/drawing.svg")).status, 200);
  };
  await Promise.all(Array.from({ length: 8 }, fill));
  assert.equal(await count(), 5000);
  const refused = await ask("width=63", "o/photo.jpg");
  assert.deepEqual([refused.status, refused.headers["cf-resized"]], [429, "err=9422"]);
  assert.equal(refused.bytes.toString(), "ERROR 9422: Free unique transformations by account has been exhausted");
  assert.equal((await ask("width=63,onerror=redirect", "o/photo.jpg")).status, 307);
  assert.equal((await ask("width=62", "o/photo.jpg")).headers["cf-cache-status"], "HIT");
  assert.equal((await ask("width=62,format=avif", "o/photo.jpg")).status, 200);
});
