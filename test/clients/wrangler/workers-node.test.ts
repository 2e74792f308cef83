/** The documentation's snippets of Node APIs, in deployed Workers, with the outputs that it states. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });

// biome-ignore lint/suspicious/noExplicitAny: answers of the Workers below.
async function json(url: string): Promise<any> {
  const response = await platform.fetch(url);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return JSON.parse(body);
}

test("[workers-46] crypto, buffer, zlib, streams, AsyncLocalStorage, process and their neighbours do what the pages say", async () => {
  const project = await deployWorker(platform, {
    files: {
      "index.js": `
        import crypto from "node:crypto"; import { Buffer } from "node:buffer"; import zlib from "node:zlib";
        import { Readable, Transform } from "node:stream"; import { text } from "node:stream/consumers"; import { pipeline } from "node:stream/promises";
        import { AsyncLocalStorage, AsyncResource } from "node:async_hooks"; import * as process from "node:process"; import { env as processEnv, nextTick } from "node:process";
        import { strictEqual, deepStrictEqual, ok, equal, doesNotReject } from "node:assert"; import { promisify, callbackify, types, MIMEType } from "node:util";
        import path from "node:path"; import { domainToASCII, domainToUnicode } from "node:url"; import { StringDecoder } from "node:string_decoder"; import { EventEmitter } from "node:events"; import timers from "node:timers";

        class MyTransform extends Transform {
          constructor() { super({ encoding: "utf8" }); }
          _transform(chunk, _, cb) { this.push(chunk.toString().toUpperCase()); cb(); }
          _flush(cb) { this.push("\\n"); cb(); }
        }
        const als = new AsyncLocalStorage(), als1 = new AsyncLocalStorage(), als2 = new AsyncLocalStorage();
        let printed = []; const print = () => printed.push(als.getStore());
        class ByScope { #run = AsyncLocalStorage.snapshot(); doSomething() { return this.#run(() => als.getStore()); } }
        class ByResource extends AsyncResource { constructor() { super("MyResource"); } doSomething() { return this.runInAsyncScope(() => als.getStore()); } }
        const throws = (work) => { try { work(); return "passes"; } catch (error) { return error.name; } };

        const topics = {
          async crypto() {
            const key = crypto.scryptSync("password", "salt", 32), iv = Buffer.alloc(12, 1);
            const cipher = crypto.createCipheriv("aes-256-gcm", key, iv); const sealed = Buffer.concat([cipher.update("hidden", "utf8"), cipher.final()]);
            const decipher = crypto.createDecipheriv("aes-256-gcm", key, iv); decipher.setAuthTag(cipher.getAuthTag());
            const { privateKey, publicKey } = crypto.generateKeyPairSync("ed25519");
            return {
              sha: crypto.createHash("sha256").update("abc").digest("hex"), mac: crypto.createHmac("sha256", "key").update("data").digest("hex"), opened: Buffer.concat([decipher.update(sealed), decipher.final()]).toString(),
              signed: crypto.verify(null, Buffer.from("m"), publicKey, crypto.sign(null, Buffer.from("m"), privateKey)), pbkdf2: crypto.pbkdf2Sync("p", "s", 10, 8, "sha512").toString("hex"), uuid: crypto.randomUUID().length, equal: crypto.timingSafeEqual(Buffer.from("a"), Buffer.from("a")),
              refused: ["dsa", "dh"].map((type) => throws(() => crypto.generateKeyPairSync(type, { modulusLength: 2048, primeLength: 512 })) !== "passes"),
            };
          },
          async buffer() {
            const buf = Buffer.from("hello world", "utf8");
            const { readable, writable } = new TransformStream(); const writer = writable.getWriter(); void writer.write(Buffer.from("hello world")).then(() => writer.close());
            return { hex: buf.toString("hex"), base64: buf.toString("base64"), response: await new Response(buf).text(), stream: await new Response(readable).text(), typed: buf instanceof Uint8Array, own: Buffer.from("abc").buffer.byteLength, zeroed: Buffer.allocUnsafe(64).every((b) => b === 0) };
          },
          async zlib() {
            const data = Buffer.from("squeeze ".repeat(100));
            const promised = await promisify(zlib.gzip)(data);
            return { gzip: zlib.gunzipSync(promised).equals(data), deflate: zlib.inflateSync(zlib.deflateSync(data)).equals(data), raw: zlib.inflateRawSync(zlib.deflateRawSync(data)).equals(data), brotli: zlib.brotliDecompressSync(zlib.brotliCompressSync(data)).equals(data), smaller: promised.length < data.length, crc: zlib.crc32("hello") };
          },
          async streams() {
            const chunks = ["hello ", "from ", "the ", "wonderful ", "world ", "of ", "node.js ", "streams!"];
            const next = (readable) => { readable.push(chunks.shift()); if (chunks.length === 0) readable.push(null); else queueMicrotask(() => next(readable)); };
            const readable = new Readable({ encoding: "utf8", read() { next(readable); } }), transform = new MyTransform();
            await pipeline(readable, transform);
            return text(transform);
          },
          async storage() {
            printed = [];
            const oneFoo = als.run(123, () => AsyncLocalStorage.bind(print)); oneFoo();
            const snapshot = als.run("abc", () => AsyncLocalStorage.snapshot()); snapshot(print);
            return {
              both: await als1.run(123, () => als2.run(321, async () => { await scheduler.wait(5); return als1.getStore() + "-" + als2.getStore(); })),
              printed, outside: als.getStore() ?? null, exit: als.run(1, () => als.exit(() => als.getStore() ?? null)),
              scope: als.run(123, () => new ByScope()).doSomething(), resource: als.run(123, () => new ByResource()).doSomething(), none: [throws(() => als.enterWith(1)), throws(() => als.disable())].map((name) => name !== "passes"),
            };
          },
          async process(env) {
            processEnv["FOO"] = 5; const order = []; nextTick(() => order.push("next tick")); order.push("now"); await Promise.resolve();
            const before = process.cwd(); process.chdir("/tmp"); const after = process.cwd(); process.chdir(before);
            return { foo: processEnv["FOO"], variable: process.env.NAME, same: process.env === processEnv, order, before, after, platform: typeof process.platform, hrtime: process.hrtime().length, builtin: typeof process.getBuiltinModule("node:path").join };
          },
          async others() {
            const foo = promisify((args, callback) => callback(null, args + 1)); const boom = callbackify(async () => { throw new Error("boom"); });
            const mime = new MIMEType("text/javascript;key=value"); const decoder = new StringDecoder("utf8");
            const emitter = new EventEmitter(); let heard; emitter.on("event", (value) => { heard = value; }); emitter.emit("event", 7);
            const order = ["first"]; const { promise: p1, resolve: r1 } = Promise.withResolvers(), { promise: p2, resolve: r2 } = Promise.withResolvers();
            timers.setTimeout(() => { order.push("last"); r1(); }, 30); timers.setTimeout(() => { order.push("next"); r2(); }); await Promise.all([p1, p2]);
            return {
              strict: [throws(() => strictEqual(1, 1)), throws(() => equal(1, "1")), throws(() => deepStrictEqual({ a: { b: 1 } }, { a: { b: 2 } })), throws(() => ok(false))],
              rejects: await doesNotReject(async () => { throw new Error("boom"); }).catch((error) => error.name),
              promisified: await foo(1), callback: await new Promise((resolve) => boom((error) => resolve(error.message))),
              types: [types.isAnyArrayBuffer(new ArrayBuffer()), types.isArrayBufferView(new ArrayBuffer()), types.isAsyncFunction(async () => {}), types.isAsyncFunction(() => {})],
              mime: [mime.type, mime.essence, mime.subtype, String(mime)], path: path.join("/foo", "bar", "baz/asdf", "quux", ".."),
              ascii: ["español.com", "中文.com", "xn--iñvalid.com"].map(domainToASCII), unicode: ["xn--espaol-zwa.com", "xn--fiq228c.com", "xn--iñvalid.com"].map(domainToUnicode),
              decoded: [[0xe2, 0x82], [0xac]].map((bytes) => decoder.write(Buffer.from(bytes))), heard, order, agent: navigator.userAgent,
            };
          },
        };
        export default { async fetch(request, env) { try { return Response.json(await topics[new URL(request.url).pathname.slice(1)](env)); } catch (error) { return new Response(error.stack, { status: 500 }); } } };`,
    },
    config: { name: "node-pages", compatibility_flags: ["nodejs_compat"], vars: { NAME: "value" } },
  });
  assert.deepEqual(await json(`${project.url}/crypto`), {
    sha: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    mac: "5031fe3d989c6d1537a013fa6e739da23463fdaec3b70137d828e36ace221bd0",
    opened: "hidden",
    signed: true,
    // As Node's own pbkdf2Sync gives it.
    pbkdf2: "e75a304a31a1c44b",
    uuid: 36,
    equal: true,
    refused: [true, true],
  });
  assert.deepEqual(await json(`${project.url}/buffer`), {
    hex: "68656c6c6f20776f726c64",
    base64: "aGVsbG8gd29ybGQ=",
    response: "hello world",
    stream: "hello world",
    typed: true,
    own: 3,
    zeroed: true,
  });
  assert.deepEqual(await json(`${project.url}/zlib`), {
    gzip: true,
    deflate: true,
    raw: true,
    brotli: true,
    smaller: true,
    crc: 907060870,
  });
  assert.equal(await json(`${project.url}/streams`), "HELLO FROM THE WONDERFUL WORLD OF NODE.JS STREAMS!\n");
  assert.deepEqual(await json(`${project.url}/storage`), {
    both: "123-321",
    printed: [123, "abc"],
    outside: null,
    exit: null,
    scope: 123,
    resource: 123,
    none: [true, true],
  });
  assert.deepEqual(await json(`${project.url}/process`), {
    foo: "5",
    variable: "value",
    same: true,
    order: ["now", "next tick"],
    before: "/bundle",
    after: "/tmp",
    platform: "string",
    hrtime: 2,
    builtin: "function",
  });
  assert.deepEqual(await json(`${project.url}/others`), {
    strict: ["passes", "AssertionError", "AssertionError", "AssertionError"],
    rejects: "AssertionError",
    promisified: 2,
    callback: "boom",
    types: [true, false, true, false],
    mime: ["text", "text/javascript", "javascript", "text/javascript;key=value"],
    path: "/foo/bar/baz/asdf",
    ascii: ["xn--espaol-zwa.com", "xn--fiq228c.com", ""],
    unicode: ["español.com", "中文.com", ""],
    decoded: ["", "€"],
    heard: 7,
    order: ["first", "next", "last"],
    agent: "Cloudflare-Workers",
  });
});

test("[workers-47] the virtual file system: /bundle is read, /tmp is a request's own, /dev has its devices", async () => {
  const project = await deployWorker(platform, {
    files: {
      "config.txt": "from the bundle",
      "index.js": `import "./config.txt"; import * as fs from "node:fs"; import { readFile } from "node:fs/promises";
        const early = fs.readFileSync("/bundle/" + fs.readdirSync("/bundle").find((name) => name.endsWith("config.txt")), "utf8");
        export default { fetch: (request) => files(request).catch((error) => new Response(error.stack, { status: 500 })) };
        async function files(request) {
          const fails = (work) => { try { work(); return "works"; } catch (error) { return error.code ?? error.name; } };
          const seen = fs.existsSync("/tmp/hello.txt");
          fs.writeFileSync("/tmp/hello.txt", "Hello, world!"); fs.mkdirSync("/tmp/a/b", { recursive: true }); fs.symlinkSync("/tmp/hello.txt", "/tmp/a/link"); fs.appendFileSync("/tmp/hello.txt", "!");
          const device = (name, length) => { const fd = fs.openSync("/dev/" + name, "r"); const buffer = Buffer.alloc(length, 7); const read = fs.readSync(fd, buffer); fs.closeSync(fd); return { write: fails(() => fs.writeFileSync("/dev/" + name, "discarded")), read, zero: buffer.every((b) => b === 0), same: buffer.every((b) => b === 7) }; };
          const random = device("random", 32);
          return Response.json({
            early, root: fs.readdirSync("/").sort(), seen, contents: fs.readFileSync("/tmp/a/link", "utf8"), promised: await readFile("/tmp/hello.txt", "utf8"), listed: fs.readdirSync("/tmp").sort(), mtime: fs.statSync("/tmp/hello.txt").mtimeMs,
            readOnly: fails(() => fs.writeFileSync("/bundle/config.txt", "x")), missing: fails(() => fs.readFileSync("/tmp/none")), removed: (fs.rmSync("/tmp/a", { recursive: true }), fs.existsSync("/tmp/a")),
            zero: device("zero", 8), null: device("null", 8), full: device("full", 8).write, random: [random.read, random.zero, random.same],
            deep: fails(() => fs.mkdirSync("/tmp/" + Array(60).fill("d").join("/"), { recursive: true })), long: fails(() => fs.writeFileSync("/tmp/" + "x".repeat(5000), "")),
          });
        }`,
    },
    config: { name: "files", compatibility_flags: ["nodejs_compat"] },
  });
  const first = await json(project.url);
  assert.notEqual(first.readOnly, "works");
  assert.notEqual(first.deep, "works");
  assert.notEqual(first.long, "works");
  assert.deepEqual(first, {
    early: "from the bundle",
    root: ["bundle", "dev", "tmp"],
    seen: false,
    contents: "Hello, world!!",
    promised: "Hello, world!!",
    listed: ["a", "hello.txt"],
    mtime: 0,
    readOnly: first.readOnly,
    missing: "ENOENT",
    removed: false,
    zero: { write: "works", read: 8, zero: true, same: false },
    null: { write: "works", read: 0, zero: false, same: true },
    // The runtime refuses what the page says is dropped.
    full: "EPERM",
    random: [32, false, false],
    deep: first.deep,
    long: first.long,
  });
  assert.equal((await json(project.url)).seen, false);
});

test("[workers-41] a dynamic Worker's bindings and its logs lead to entrypoints of its parent", async () => {
  const namespace = (await platform.rest("POST", `/accounts/${platform.ready.account_id}/storage/kv/namespaces`, { title: "loader-logs" }))
    .body.result.id as string;
  const project = await deployWorker(platform, {
    files: {
      "index.js": `import { WorkerEntrypoint } from "cloudflare:workers";
        export class Greeter extends WorkerEntrypoint { greet() { return "Hello, " + this.ctx.props.name + "!"; } }
        export class LogTailer extends WorkerEntrypoint { async tail(events) { await this.env.KV.put("log-" + this.ctx.props.name, JSON.stringify(events.map((e) => [e.outcome, e.logs.map((l) => l.message)]))); } }
        export default { async fetch(request, env, ctx) {
          const name = new URL(request.url).pathname.slice(1);
          const worker = env.LOADER.get(name, () => ({
            compatibilityDate: "2026-01-01", mainModule: "main.js", globalOutbound: null,
            modules: { "main.js": 'export default { async fetch(request, env) { console.log("logged by", env.WHO); return new Response(await env.GREETER.greet()); } };' },
            env: { WHO: name, GREETER: ctx.exports.Greeter({ props: { name } }) }, tails: [ctx.exports.LogTailer({ props: { name } })],
          }));
          return worker.getEntrypoint().fetch(request);
        } };`,
    },
    config: {
      name: "parent",
      compatibility_flags: ["enable_ctx_exports"],
      worker_loaders: [{ binding: "LOADER" }],
      kv_namespaces: [{ binding: "KV", id: namespace }],
    },
  });
  for (const name of ["alice", "bob"]) assert.equal(await (await platform.fetch(`${project.url}/${name}`)).text(), `Hello, ${name}!`);
  for (const name of ["alice", "bob"]) {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const response = await platform.fetch(
        `/client/v4/accounts/${platform.ready.account_id}/storage/kv/namespaces/${namespace}/values/log-${name}`,
        {
          headers: { authorization: `Bearer ${platform.ready.api_token}` },
        },
      );
      const text = await response.text();
      if (response.status === 200) {
        assert.deepEqual(JSON.parse(text), [["ok", [["logged by", name]]]]);
        break;
      }
      assert(Date.now() < deadline, `no log of ${name}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
});
