/**
 * Hosted images by the SDK, and as everybody sees them: on the delivery host, under a zone's name, and where creators
 * upload by themselves. What comes out is decoded again and looked at.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { NotFoundError, toFile } from "cloudflare";
import sharp from "sharp";
import { FormData, type Response } from "undici";
import { startPlatform } from "../../harness/platform.ts";
import { animation, atHost, BLUE, halves, phonePicture, plain, RED, saysItIs, seen, sparseAnimation, WHITE } from "../pictures.ts";

const platform = await startPlatform(
  { after },
  {
    config: { "runtime.outbound_allow": ["public", "private", "local"], "notifications.private_destinations": true },
  },
);
const { account_id, api, api_token } = platform.ready;
const { images } = platform.sdk();
const account = { account_id };
const delivery = platform.host("imagedelivery");

const picture = await halves(400, 200);
const file = (bytes: Buffer, name = "picture.png") => toFile(bytes, name);
const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());
const see = async (url: string, headers: Record<string, string> = {}) => {
  const response = await platform.fetch(url, { headers });
  const bytes = await bytesOf(response);
  return { status: response.status, headers: response.headers, bytes };
};
const variantUrl = (urls: readonly string[] | undefined, name: string): string => {
  const url = urls?.find((candidate) => candidate.endsWith(`/${name}`));
  assert.ok(url !== undefined, String(urls));
  return url;
};

/** A form that no client sends, or that one has no method for. */
async function post(
  url: string,
  fields: Record<string, string | Blob>,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: { success: boolean; result: { id: string }; errors: { code: number; message: string }[] } }> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === "string") form.set(name, value);
    else form.set(name, value, "picture.png");
  }
  const response = await platform.fetch(url, { method: "POST", headers, body: form });
  return { status: response.status, body: (await response.json()) as never };
}
const bearer = { authorization: `Bearer ${api_token}` };
const upload = (fields: Record<string, string | Blob>) => post(`${api}/accounts/${account_id}/images/v1`, fields, bearer);

test("[images-01, images-07, images-08] an uploaded file has an id and is served as its variants; list, details, change, export, delete", async () => {
  const before = Date.now();
  const image = await images.v1.create({ ...account, file: await file(picture), metadata: { kind: "test" }, creator: "me" });
  assert.match(image.id as string, /^[0-9a-f-]{36}$/);
  assert.deepEqual([image.filename, image.requireSignedURLs, image.meta, image.creator], ["picture.png", false, { kind: "test" }, "me"]);
  assert.ok(Date.parse(image.uploaded as string) >= before - 1000);
  const shown = await see(variantUrl(image.variants, "public"));
  assert.equal(shown.status, 200);
  const { size, at } = await seen(shown.bytes);
  assert.deepEqual([size, at(10, 10), at(390, 190)], [[400, 200], RED, BLUE]);

  const exported = await images.v1.blobs.get(image.id as string, account);
  assert.deepEqual(Buffer.from(await exported.arrayBuffer()), picture);

  const other = await images.v1.create({ ...account, file: await file(await plain(8, 8, "lime").webp().toBuffer()) });
  const first = await images.v1.list({ ...account, page: 1, per_page: 1 });
  const listed = (first.result as { images: { id: string }[] }).images;
  assert.deepEqual([listed.length, listed[0]?.id], [1, other.id]);
  // The newer list goes on where the one before ended, either way round, and finds by metadata.
  const ids: unknown[] = [];
  for (let token: string | null | undefined; token !== null; ) {
    const page = await images.v2.list({
      ...account,
      per_page: 1,
      sort_order: "asc",
      ...(token !== undefined && { continuation_token: token }),
    });
    ids.push(...(page.images ?? []).map(({ id }) => id));
    token = page.continuation_token ?? null;
  }
  assert.deepEqual(ids, [image.id, other.id]);
  const found = await platform.rest("GET", `/accounts/${account_id}/images/v2?meta.kind[eq]=test&meta.missing[in]=a|b`);
  assert.deepEqual(found.body.result.images, []);
  const byKind = await platform.rest("GET", `/accounts/${account_id}/images/v2?meta.kind[in]=other|test`);
  assert.deepEqual(
    byKind.body.result.images.map(({ id }: { id: string }) => id),
    [image.id],
  );

  const changed = await images.v1.edit(image.id as string, { ...account, metadata: { kind: "changed" }, creator: "you" });
  assert.deepEqual([changed.meta, changed.creator], [{ kind: "changed" }, "you"]);
  assert.deepEqual((await images.v1.get(image.id as string, account)).meta, { kind: "changed" });
  assert.deepEqual((await images.v1.stats.get(account)).count, { current: 2, allowed: 100_000 });
  await images.v1.delete(image.id as string, account);
  await images.v1.delete(other.id as string, account);
  await assert.rejects(images.v1.get(image.id as string, account), NotFoundError);
  assert.equal((await see(variantUrl(image.variants, "public"))).status, 404);
  assert.equal((await images.v1.stats.get(account)).count?.current, 0);
});

test("[images-02, images-03] an image comes from a URL, with a custom path; an error of its server is a 4xx", async () => {
  const server = http.createServer((request, response) => {
    if (request.headers.authorization !== `Basic ${btoa("user:pass word")}`) return void response.writeHead(401).end();
    if (request.url === "/moved") return void response.writeHead(302, { location: "/picture.png" }).end();
    if (request.url !== "/picture.png") return void response.writeHead(404).end("nothing");
    response.writeHead(200, { "content-type": "image/png" }).end(picture);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  const base = `127.0.0.1:${(server.address() as { port: number }).port}`;
  const image = await images.v1.create({ ...account, url: `http://user:pass%20word@${base}/picture.png`, id: "a/b 100%/ü.png" });
  assert.equal(image.id, "a/b 100%/ü.png");
  const url = variantUrl(image.variants, "public");
  assert.ok(url.includes("/a/b%20100%25/%C3%BC.png/public"), url);
  assert.deepEqual((await seen((await see(url)).bytes)).size, [400, 200]);
  assert.equal((await images.v1.get(image.id, account)).filename, "picture.png");
  const missing = await upload({ url: `http://user:pass%20word@${base}/nothing` });
  assert.deepEqual([missing.status, missing.body.errors[0]?.code], [400, 5400]);
  const redirected = await upload({ url: `http://user:pass%20word@${base}/moved` });
  assert.equal(redirected.status, 200, JSON.stringify(redirected.body));
  const both = await upload({ url: `http://${base}/picture.png`, file: new Blob([picture]) });
  assert.equal(both.status, 400);
  // A custom id is nobody else's, no UUID, no path of its own ends, and cannot be private.
  for (const [id, status] of [
    ["a/b 100%/ü.png", 409],
    ["2cdc28f0-017a-49c4-9ed7-87056c839012", 400],
    ["/a", 400],
    ["a/", 400],
    ["x".repeat(1025), 400],
  ] as const)
    assert.equal((await upload({ id, file: new Blob([picture]) })).status, status, id);
  const secret = await upload({ id: "secret", requireSignedURLs: "true", file: new Blob([picture]) });
  assert.equal(secret.status, 400);
});

test("[images-04] what is too large, too long, or no image is refused", async () => {
  for (const [what, bytes, code] of [
    ["11 MB", Buffer.concat([picture, Buffer.alloc(11 * 1024 * 1024)]), 5413],
    ["12,001 pixels", await saysItIs(12_001, 1), 5400],
    ["104 megapixels", await saysItIs(11_000, 9_500), 5400],
    ["text", Buffer.from("no image"), 5455],
    ["HTML", Buffer.from("<html><svg></svg></html>"), 5455],
    ["an animation of 50.2 megapixels", sparseAnimation(1000, 1255, 40), 5400],
  ] as const)
    assert.equal((await upload({ file: new Blob([bytes]) })).body.errors[0]?.code, code, what);
  const metadata = { note: "x".repeat(1024) };
  assert.equal((await upload({ file: new Blob([picture]), metadata: JSON.stringify(metadata) })).status, 400);
  const raw = await platform.fetch(`${api}/accounts/${account_id}/images/v1`, {
    method: "POST",
    headers: { ...bearer, "content-type": "image/png" },
    body: picture,
  });
  assert.equal(raw.status, 415);
});

test("[images-05, images-06] a creator uploads once, without a token, in time; until then the image is a draft", async () => {
  const { id, uploadURL } = (await images.v2.directUploads.create({ ...account, metadata: { from: "creator" } })) as {
    id: string;
    uploadURL: string;
  };
  const listed = async () => ((await images.v2.list(account)).images ?? []).some((image) => image.id === id);
  const draft = (await images.v1.get(id, account)) as { draft?: boolean; meta?: unknown };
  assert.deepEqual([draft.draft, draft.meta, await listed()], [true, { from: "creator" }, false]);
  assert.equal((await see(`${delivery}/${id}/public`)).status, 404);
  // A page of another origin may do it.
  const preflight = await platform.fetch(uploadURL, {
    method: "OPTIONS",
    headers: { origin: "https://page.example", "access-control-request-method": "POST" },
  });
  assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-origin")], [204, "*"]);
  assert.equal((await post(uploadURL, { file: new Blob(["no image"]) })).status, 415);
  const done = await post(uploadURL, { file: new Blob([picture]) });
  assert.equal(done.status, 200, JSON.stringify(done.body));
  const image = (await images.v1.get(id, account)) as { draft?: boolean };
  assert.deepEqual(["draft" in image, await listed()], [false, true]);
  assert.deepEqual((await seen((await see(`${delivery}/${id}/public`)).bytes)).size, [400, 200]);
  assert.equal((await post(uploadURL, { file: new Blob([await plain(1, 1, "red").png().toBuffer()]) })).status, 404);
  assert.deepEqual(Buffer.from(await (await images.v1.blobs.get(id, account)).arrayBuffer()), picture);
  const nobody = uploadURL.replace(id, "2cdc28f0-017a-49c4-9ed7-87056c839011");
  assert.equal((await post(nobody, { file: new Blob([picture]) })).status, 404);

  const ahead = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString();
  for (const minutes of [1, 7 * 60]) {
    const asked = platform.rest("POST", `/accounts/${account_id}/images/v2/direct_upload`, { expiry: ahead(minutes) });
    assert.equal((await asked).status, 400, `${minutes} minutes`);
  }
  for (const minutes of [3, 5 * 60]) await images.v2.directUploads.create({ ...account, expiry: ahead(minutes) });
});

test("[images-09, images-10, images-11] variants are made, measured, changed and deleted; their fits have their sizes", async () => {
  const photo = await sharp(picture)
    .jpeg()
    .withExif({ IFD0: { Copyright: "us", Software: "test" } })
    .toBuffer();
  const { id } = (await images.v1.create({ ...account, file: await file(photo, "photo.jpg") })) as { id: string };
  const deliver = async (name: string) => {
    const { status, bytes } = await see(`${delivery}/${id}/${name}`);
    assert.equal(status, 200, bytes.toString().slice(0, 200));
    return { ...(await seen(bytes)), exif: (await sharp(bytes).metadata()).exif };
  };
  for (const [name, options, size] of [
    ["down", { fit: "scale-down", width: 800, height: 800 }, [400, 200]],
    ["contain", { fit: "contain", width: 800, height: 800 }, [800, 400]],
    ["cover", { fit: "cover", width: 100, height: 100 }, [100, 100]],
    ["crop", { fit: "crop", width: 500, height: 100 }, [400, 100]],
    ["pad", { fit: "pad", width: 100, height: 100 }, [100, 100]],
  ] as const) {
    const made = await images.v1.variants.create({ ...account, id: name, options: { metadata: "none", ...options } });
    assert.equal(made.variant?.id, name);
    assert.deepEqual((await deliver(name)).size, size, name);
  }
  assert.deepEqual((await deliver("pad")).at(50, 5), WHITE);
  const cover = await deliver("cover");
  assert.deepEqual([cover.at(10, 50), cover.at(90, 50)], [RED, BLUE]);
  // Blur takes the edge; metadata goes or stays as the variant says.
  const flat = { fit: "scale-down", width: 400, height: 200 } as const;
  await images.v1.variants.create({ ...account, id: "blurred", options: { ...flat, metadata: "none", blur: 40 } as never });
  const [sharpEdge, softEdge] = [await deliver("down"), await deliver("blurred")];
  assert.deepEqual([sharpEdge.at(190, 100), softEdge.at(199, 100)[0], softEdge.at(199, 100)[2]], [RED, 2, 2]);
  assert.ok(softEdge.deviation < sharpEdge.deviation);
  assert.equal(sharpEdge.exif, undefined);
  await images.v1.variants.edit("blurred", { ...account, options: { ...flat, metadata: "keep" } });
  const kept = await deliver("blurred");
  assert.deepEqual([kept.at(190, 100), kept.exif?.includes("test"), kept.exif?.includes("us")], [RED, true, true]);
  await images.v1.variants.edit("blurred", { ...account, options: { ...flat, metadata: "copyright" } });
  const { exif } = await deliver("blurred");
  assert.deepEqual([exif?.includes("test"), exif?.includes("us")], [false, true]);

  assert.equal((await images.v1.variants.get("cover", account)).variant?.options.width, 100);
  await images.v1.variants.delete("cover", account);
  assert.equal((await see(`${delivery}/${id}/cover`)).status, 404);
  await assert.rejects(images.v1.variants.get("cover", account), NotFoundError);
  const refused = await platform.rest("DELETE", `/accounts/${account_id}/images/v1/variants/public`);
  assert.equal(refused.status, 400);
  const { variants } = await images.v1.variants.list(account);
  const there = Object.keys(variants ?? {}).length;
  for (let n = there; n < 100; n++) await images.v1.variants.create({ ...account, id: `more${n}`, options: { ...flat, metadata: "none" } });
  await assert.rejects(images.v1.variants.create({ ...account, id: "more100", options: { ...flat, metadata: "none" } }), /5453/);
});

test("[images-12, images-13] flexible variants once they are on; private images by signed URLs only", async () => {
  const { id } = (await images.v1.create({ ...account, file: await file(picture) })) as { id: string };
  const flexible = `${delivery}/${id}/w=100,sharpen=3`;
  assert.equal((await see(flexible)).status, 403);
  const config = await platform.rest("PATCH", `/accounts/${account_id}/images/v1/config`, { flexible_variants: true });
  assert.equal(config.status, 200, JSON.stringify(config.body));
  assert.deepEqual((await seen((await see(flexible)).bytes)).size, [100, 50]);
  assert.equal((await see(`${delivery}/${id}/w=nonsense`)).headers.get("cf-resized"), "err=9401");

  await images.v1.edit(id, { ...account, requireSignedURLs: true });
  await images.v1.variants.delete("more50", account);
  const thumb = { fit: "scale-down", width: 20, height: 20, metadata: "none" } as const;
  await images.v1.variants.create({ ...account, id: "open", options: thumb, neverRequireSignedURLs: true });
  const { keys } = await images.v1.keys.update("second", account);
  assert.equal(keys?.length, 2);
  // As the documented Worker signs.
  const sign = (url: URL, key: string | undefined, seconds: number): string => {
    url.searchParams.set("exp", String(Math.floor(Date.now() / 1000) + seconds));
    const text = `${url.pathname}?${url.searchParams}`;
    url.searchParams.set(
      "sig",
      createHmac("sha256", key as string)
        .update(text)
        .digest("hex"),
    );
    return url.href;
  };
  const url = (): URL => new URL(`${delivery}/${id}/public`);
  for (const key of keys ?? []) {
    const { status, headers } = await see(sign(url(), key.value, 600));
    assert.equal(status, 200);
    assert.match(headers.get("cache-control") as string, /^private, max-age=(600|59\d)$/);
  }
  const value = keys?.[0]?.value;
  for (const [what, address] of [
    ["unsigned", url().href],
    ["expired", sign(url(), value, -1)],
    ["another key", sign(url(), "stranger", 600)],
    ["another path", sign(url(), value, 600).replace("/public?", "/down?")],
    ["a later end", sign(url(), value, 600).replace(/exp=\d+/, "exp=99999999999")],
    ["a flexible variant", sign(new URL(flexible), value, 600)],
  ] as const)
    assert.equal((await see(address)).status, 403, what);
  assert.equal((await see(`${delivery}/${id}/open`)).status, 200);
  const signed = sign(url(), keys?.find(({ name }) => name === "second")?.value, 600);
  await images.v1.keys.delete("second", account);
  assert.equal((await see(signed)).status, 403);
  // The last key is followed by a new one.
  const [last] = (await images.v1.keys.list(account)).keys ?? [];
  const after = await images.v1.keys.delete(last?.name as string, account);
  assert.equal(after.keys?.length, 1);
  assert.notEqual(after.keys?.[0]?.value, last?.value);
});

test("[images-14, images-15, images-16] each client gets its format, for as long as it is told, also under a zone's name", async () => {
  const { id } = (await images.v1.create({ ...account, file: await file(picture) })) as { id: string };
  const moving = (await images.v1.create({
    ...account,
    file: await file(await animation("gif", 40, 20, ["red", "lime", "blue"]), "a.gif"),
  })) as { id: string };
  for (const [accept, format, frames] of [
    ["image/avif,image/webp,*/*", "heif", 3],
    ["image/webp,*/*", "webp", 3],
    ["*/*", "png", 3],
  ] as const) {
    const { bytes, headers } = await see(`${delivery}/${id}/public`, { accept });
    assert.deepEqual([(await seen(bytes)).format, headers.get("vary")], [format, "Accept"], accept);
    const animated = await seen((await see(`${delivery}/${moving.id}/public`, { accept })).bytes);
    assert.deepEqual([animated.frames, animated.format], [frames, accept === "*/*" ? "gif" : "webp"], accept);
  }
  const control = async (variant: string) => (await see(`${delivery}/${id}/${variant}`)).headers.get("cache-control");
  assert.equal(await control("public"), "public, max-age=172800, stale-while-revalidate=7200");
  const configured = await platform.rest("PATCH", `/accounts/${account_id}/images/v1/config`, { browser_ttl: 31_536_000 });
  assert.equal(configured.status, 200);
  assert.equal(await control("public"), "public, max-age=31536000, stale-while-revalidate=7200");
  await images.v1.variants.edit("down", {
    ...account,
    options: { fit: "scale-down", width: 10, height: 10, metadata: "none", browser_ttl: 86_400 } as never,
  });
  assert.equal(await control("down"), "public, max-age=86400, stale-while-revalidate=7200");
  for (const seconds of [60, 366 * 86_400]) {
    const refused = await platform.rest("PATCH", `/accounts/${account_id}/images/v1/config`, { browser_ttl: seconds });
    assert.equal(refused.status, 400, String(seconds));
  }

  await platform.sdk().zones.create({ account: { id: account_id }, name: "pictures.example" });
  const hash = new URL(delivery).pathname;
  const path = `/cdn-cgi/imagedelivery${hash}/${id}/public`;
  const onZone = await atHost(platform, "www.pictures.example", path);
  assert.equal(onZone.status, 200);
  assert.deepEqual((await seen(onZone.bytes)).size, [400, 200]);
  assert.equal((await atHost(platform, "other.example", path)).status, 404);
  // Of another account there is nothing.
  assert.equal((await see(`${delivery.replace(hash, "/Vi7wi5KSItxGFsWRG2Us6Q")}/${id}/public`)).status, 404);
  const etag = (await see(`${delivery}/${id}/public`)).headers.get("etag") as string;
  assert.equal((await see(`${delivery}/${id}/public`, { "if-none-match": etag })).status, 304);
});

test("[images-18] a batch token stands for the API token on the batch host, 200 times a second", async () => {
  const batch = platform.host("imagedelivery_batch");
  const issue = async (): Promise<string> => {
    const { result } = (await platform.rest("GET", `/accounts/${account_id}/images/v1/batch_token`)).body;
    assert.ok(Date.parse(result.expiresAt) > Date.now());
    return result.token;
  };
  const token = await issue();
  const headers = { authorization: `Bearer ${token}` };
  const uploaded = await post(`${batch}/v1`, { file: new Blob([picture]), id: "by/batch" }, headers);
  assert.deepEqual([uploaded.status, uploaded.body.result.id], [200, "by/batch"]);
  const ask = async (method: string, path: string, body?: unknown) => {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { ...headers, "content-type": "application/json" } };
    const response = await platform.fetch(`${batch}${path}`, { method, headers, ...json });
    return {
      status: response.status,
      body: (await response.json()) as { result: { id?: string; images?: { id: string }[]; uploadURL?: string } },
    };
  };
  assert.equal((await ask("GET", "/v1/by%2Fbatch")).body.result.id, "by/batch");
  assert.equal((await ask("PATCH", "/v1/by%2Fbatch", { metadata: { a: 1 } })).status, 200);
  assert.ok((await ask("GET", "/v2?per_page=1000")).body.result.images?.some(({ id }) => id === "by/batch"));
  assert.match((await ask("POST", "/v2/direct_upload", {})).body.result.uploadURL ?? "", /^http/);
  assert.equal((await ask("DELETE", "/v1/by%2Fbatch")).status, 200);
  // A token's second has room for 200 requests; as many at once as it takes until one second has more.
  const fresh = { authorization: `Bearer ${await issue()}` };
  const burst = async (): Promise<{ admitted: number; limited: number }> => {
    const statuses = await Promise.all(
      Array.from({ length: 400 }, async () => {
        const { status, body } = await platform.fetch(`${batch}/v1/none`, { headers: fresh });
        await body?.cancel();
        return status;
      }),
    );
    return { admitted: statuses.filter((status) => status === 404).length, limited: statuses.filter((status) => status === 429).length };
  };
  let { admitted, limited } = await burst();
  assert.ok(admitted >= 200, String(admitted));
  while (limited === 0) ({ admitted, limited } = await burst());
  // Another token has its own seconds.
  const response = await platform.fetch(`${batch}/v1/none`, { headers: { authorization: `Bearer ${await issue()}` } });
  assert.equal(response.status, 404);
  await response.body?.cancel();
});

test("[images-35] a phone's HEIC picture is taken, kept as it is, and delivered as what browsers show", async () => {
  const image = await images.v1.create({ ...account, file: await file(phonePicture, "IMG_0001.HEIC") });
  for (const [accept, format] of [
    ["*/*", "jpeg"],
    ["image/webp", "webp"],
    ["image/avif", "heif"],
  ] as const) {
    const { bytes, headers } = await see(variantUrl(image.variants, "public"), { accept });
    const shown = await seen(bytes);
    assert.deepEqual([shown.size, shown.format, shown.at(30, 10), shown.at(30, 85)], [[64, 96], format, RED, BLUE]);
    assert.notEqual(headers.get("content-type"), "image/heic");
  }
  assert.deepEqual(Buffer.from(await (await images.v1.blobs.get(image.id as string, account)).arrayBuffer()), phonePicture);
  assert.equal((await upload({ file: new Blob([phonePicture.subarray(0, 500)]) })).body.errors[0]?.code, 5455);
});

test("[images-50] Polish makes an origin's images smaller, without loss unless it may, and says what it did", async () => {
  const gateway = new URL(platform.ready.gateway);
  // Every other pixel by chance: what is smaller is so by better packing, and a palette would lose some.
  const noise = Buffer.from(Array.from({ length: 120 * 80 * 3 }, (_, i) => (i % 6 < 3 ? 200 : (i * 7919) % 251)));
  const raw = { raw: { width: 120, height: 80, channels: 3 } } as const;
  const loose = await sharp(noise, raw).png({ compressionLevel: 0 }).toBuffer();
  const tight = await sharp(noise, raw).png({ compressionLevel: 9, effort: 10, adaptiveFiltering: true }).toBuffer();
  const fine = await sharp(noise, raw)
    .jpeg({ quality: 98 })
    .withExif({ IFD0: { Software: "camera ".repeat(200) } })
    .toBuffer();
  const coarse = await sharp(noise, raw).jpeg({ quality: 5, mozjpeg: true }).toBuffer();
  const served: Record<string, [Buffer, string, Record<string, string>?]> = {
    "/loose.png": [loose, "image/png", { etag: '"loose"' }],
    "/tight.png": [tight, "image/png"],
    "/fine.jpg": [fine, "image/jpeg"],
    "/coarse.jpg": [coarse, "image/jpeg"],
    "/smooth.jpg": [await sharp(picture).jpeg({ quality: 98 }).toBuffer(), "image/jpeg"],
    "/private.png": [loose, "image/png", { "cache-control": "private" }],
    "/varied.png": [loose, "image/png", { vary: "Accept-Language" }],
    "/encoded.png": [loose, "image/png", { vary: "Accept-Encoding" }],
    "/broken.png": [loose.subarray(0, 200), "image/png"],
    "/large.png": [await saysItIs(5000, 10), "image/png"],
    "/photo.bmp": [Buffer.from("BM"), "image/bmp"],
    "/page.html": [Buffer.from("<p>"), "text/html"],
  };
  const origin = http.createServer((request, response) => {
    const [body, type, headers] = served[request.url as string] ?? [Buffer.from("no"), "text/plain"];
    response.writeHead(200, { "content-type": type, "content-length": body.length, ...headers }).end(body);
  });
  origin.listen(Number(gateway.port), "127.0.0.2");
  await once(origin, "listening");
  after(() => origin.close());
  const zone = await platform.sdk().zones.create({ account: { id: account_id }, name: "polished.example" });
  const zone_id = zone.id;
  await platform.sdk().dns.records.create({ zone_id, type: "A", name: "polished.example", content: "127.0.0.2", ttl: 1, proxied: true });
  const set = (setting: string, value: string) => platform.sdk().zones.settings.edit(setting, { zone_id, value } as never);
  const get = (path: string, accept = "*/*") => atHost(platform, "polished.example", path, { accept });
  const status = async (path: string, accept?: string) => (await get(path, accept)).headers["cf-polished"];
  const pixels = (bytes: Buffer) => sharp(bytes).raw().toBuffer();

  const off = await get("/loose.png");
  assert.deepEqual([off.bytes, off.headers["cf-polished"]], [loose, undefined]);
  await set("polish", "lossless");
  const smaller = await get("/loose.png");
  assert.ok(smaller.bytes.length < loose.length * 0.8, `${smaller.bytes.length} of ${loose.length}`);
  assert.deepEqual(await pixels(smaller.bytes), noise);
  const { etag, "content-type": type, "content-length": length } = smaller.headers;
  assert.deepEqual(
    [smaller.headers["cf-polished"], etag, type, length],
    [`origSize=${loose.length}`, 'W/"loose"', "image/png", String(smaller.bytes.length)],
  );
  const stripped = await get("/fine.jpg");
  assert.deepEqual([await pixels(stripped.bytes), (await sharp(stripped.bytes).metadata()).exif], [await pixels(fine), undefined]);
  assert.ok(stripped.bytes.length < fine.length - 1000);
  const kept = await get("/tight.png");
  assert.deepEqual(kept.bytes, tight);
  assert.match(String(kept.headers["cf-polished"]), /status=not_compressed/);
  assert.equal(kept.headers.warning, 'cf-images 299 "original is smaller"');
  for (const [path, expected] of [
    ["/private.png", undefined],
    ["/page.html", undefined],
    ["/varied.png", "status=vary_header_present"],
    ["/encoded.png", `origSize=${loose.length}`],
    ["/photo.bmp", "status=format_not_supported"],
    ["/broken.png", "origSize=200, status=cannot_optimize"],
    ["/large.png", `origSize=${served["/large.png"]?.[0].length}, status=input_too_large`],
  ] as const)
    assert.equal(await status(path), expected, path);
  assert.deepEqual((await get("/broken.png")).bytes, served["/broken.png"]?.[0]);

  await set("webp", "on");
  const webp = await get("/loose.png", "image/webp,*/*");
  assert.deepEqual([webp.headers["content-type"], webp.headers.vary], ["image/webp", "Accept"]);
  assert.deepEqual(await pixels(webp.bytes), noise);
  assert.equal((await get("/loose.png")).headers["content-type"], "image/png");
  // Of a JPEG there is no WebP without loss.
  assert.equal((await get("/fine.jpg", "image/webp")).headers["content-type"], "image/jpeg");

  await set("polish", "lossy");
  const lossy = await get("/fine.jpg");
  assert.equal((await sharp(lossy.bytes).metadata()).format, "jpeg");
  assert.ok(lossy.bytes.length < stripped.bytes.length);
  assert.equal((await get("/smooth.jpg", "image/webp")).headers["content-type"], "image/webp");
  assert.match(String(await status("/fine.jpg", "image/webp")), /status=webp_bigger/);
  assert.deepEqual((await get("/coarse.jpg")).bytes, coarse);
});

test("[images-19] a webhook hears how creators' uploads end, as a policy of the account says", async () => {
  interface Heard {
    readonly auth: unknown;
    readonly body: {
      text: string;
      name?: string;
      alert_type?: string;
      policy_id?: string;
      account_id?: string;
      data?: { id: string; status: string; error?: string };
    };
  }
  const heard: Heard[] = [];
  const waiting: (() => void)[] = [];
  let refusals = 1;
  const server = http.createServer((request, response) => {
    void text(request).then((body) => {
      // Once it is down: what it was told then is told again.
      const refuse = body.includes('"success"') && refusals-- > 0;
      response.writeHead(refuse ? 503 : 200).end();
      if (!refuse) heard.push({ auth: request.headers["cf-webhook-auth"], body: JSON.parse(body) });
      for (const resolve of waiting.splice(0)) resolve();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  const until = async (found: (one: Heard) => boolean): Promise<Heard> => {
    for (;;) {
      const one = heard.find(found);
      if (one !== undefined) return one;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };

  const { alerting } = platform.sdk();
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/hook`;
  const { id: webhook } = await alerting.destinations.webhooks.create({ ...account, name: "hook", url, secret: "a secret" });
  assert.match((await until(({ body }) => body.text.includes("test message"))).body.text, /configured properly/);
  assert.ok(JSON.stringify(await alerting.availableAlerts.list(account)).includes('"image_notification"'));
  const mechanisms = { webhooks: [{ id: webhook as string }] };
  const { id: policy } = await alerting.policies.create({
    ...account,
    name: "uploads",
    alert_type: "image_notification",
    enabled: true,
    mechanisms,
  });

  const { id, uploadURL } = (await images.v2.directUploads.create(account)) as { id: string; uploadURL: string };
  assert.equal((await post(uploadURL, { file: new Blob(["no image"]) })).status, 415);
  const failure = await until(({ body }) => body.data?.status === "failure");
  assert.deepEqual([failure.auth, failure.body.data?.id], ["a secret", id]);
  assert.equal((await post(uploadURL, { file: new Blob([picture]) })).status, 200);
  const { body } = await until((one) => one.body.data?.status === "success");
  assert.deepEqual(
    [body.alert_type, body.name, body.policy_id, body.account_id, body.data?.id],
    ["image_notification", "uploads", policy, account_id, id],
  );

  const shown = await alerting.destinations.webhooks.get(webhook as string, account);
  assert.deepEqual([shown.url, "secret" in shown, typeof shown.last_failure], [url, false, "string"]);
  // Uploads with a token are nobody's news; a policy that is off hears nothing, and a webhook in use stays.
  await alerting.policies.update(policy as string, { ...account, enabled: false });
  assert.equal((await alerting.policies.get(policy as string, account)).enabled, false);
  const before = heard.length;
  const quiet = (await images.v2.directUploads.create(account)) as { uploadURL: string };
  await post(quiet.uploadURL, { file: new Blob([picture]) });
  await assert.rejects(alerting.destinations.webhooks.delete(webhook as string, account), /409/);
  await alerting.policies.delete(policy as string, account);
  await alerting.destinations.webhooks.delete(webhook as string, account);
  assert.equal(heard.length, before);
  const unknown = await platform.rest("POST", `/accounts/${account_id}/alerting/v3/policies`, {
    name: "x",
    alert_type: "nonsense",
    enabled: true,
    mechanisms,
  });
  assert.equal(unknown.status, 400);
});
