/** The files of a Pages project with a Function for each rule and binding, and static files that its rules are about. */

/** A Function that answers the value of an expression. */
export const answering = (expression: string): string => `export const onRequest = (context) => new Response(${expression});`;

/** `(a, b) => a + b` as WebAssembly. */
const add = Buffer.from("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b", "hex");

const functions: Readonly<Record<string, string | Uint8Array>> = {
  "date.js": answering('"date"'),
  "users/special.js": answering('"special"'),
  "users/[user].js": answering('"user " + context.params.user'),
  "users/[[catchall]].js": answering("JSON.stringify(context.params.catchall)"),
  "fruits/index.js": answering('"fruits"'),
  "verbs.js": `export const onRequestGet = () => new Response("get");
    export const onRequestPost = async ({ request }) => new Response("post " + await request.text());
    export const onRequest = ({ request }) => new Response("any " + request.method);`,
  "_middleware.js": `export async function onRequest({ next, data, request }) {
      data.seen = ["root"];
      const response = await next();
      response.headers.set("x-timing", "1");
      return response;
    }`,
  "guarded/_middleware.js": `
    async function errorHandling(context) {
      context.data.seen.push("errorHandling");
      try { return await context.next(); } catch (error) { return new Response("caught " + error.message, { status: 500 }); }
    }
    function authentication(context) {
      context.data.seen.push("authentication");
      if (context.request.headers.get("x-email") != "admin@example.com") return new Response("Unauthorized", { status: 403 });
      return context.next();
    }
    export const onRequest = [errorHandling, authentication];`,
  "guarded/index.js": answering("context.data.seen.join()"),
  "guarded/fails.js": 'export const onRequest = () => { throw new Error("on purpose"); };',
  "throws.ts": `interface Wanted { readonly never: string }

export const onRequest: PagesFunction = ({ request }) => {
  console.log("about to fail", new URL(request.url).pathname);
  const wanted = undefined as unknown as Wanted;
  throw new TypeError("no " + String(wanted));
};`,
  "open.js": `export const onRequest = ({ passThroughOnException }) => { passThroughOnException(); throw new Error("but open"); };`,
  "nothing.js": "export const onRequest = () => 1;",
  "assets.js": `export const onRequest = async ({ env, request }) => {
      const page = await env.ASSETS.fetch(new URL("/page", request.url));
      return new Response(page.status + " " + page.headers.get("x-page") + " " + await page.text());
    };`,
  "bind/kv.js": `export const onRequest = async ({ env }) => { await env.KV.put("k", "from kv"); return new Response(await env.KV.get("k")); };`,
  "bind/d1.js": `export const onRequest = async ({ env }) => Response.json(await env.DB.prepare("SELECT 1 + 1 AS two").first());`,
  "bind/r2.js": `export const onRequest = async ({ env }) => { await env.BUCKET.put("o", "from r2"); return new Response((await env.BUCKET.get("o")).body); };`,
  "bind/do.js": `export const onRequest = ({ env, request }) => env.COUNTER.get(env.COUNTER.idFromName("one")).fetch(request);`,
  "bind/service.js": `export const onRequest = async ({ env, request }) => new Response(await env.BACKEND.greet("Pages") + ", " + await (await env.BACKEND.fetch(request)).text());`,
  "bind/queue.js": `export const onRequest = async ({ env }) => { await env.QUEUE.send({ from: "pages" }); return new Response("sent"); };`,
  "bind/vars.js": `export const onRequest = ({ env }) => Response.json({ text: env.TEXT, json: env.JSON, secret: env.SECRET, bulk: env.BULK, gone: env.GONE ?? null });`,
  "bind/vectorize.js": `export const onRequest = async ({ env }) => Response.json(await env.INDEX.describe());`,
  "bind/analytics.js": `export const onRequest = ({ env }) => { env.EVENTS.writeDataPoint({ blobs: ["pages"] }); return new Response("written"); };`,
  "typed.ts": `import { add } from "../lib/adder";
    import data from "../lib/data.bin";
    import page from "../lib/page.html";
    interface Env { TEXT: string; KV: KVNamespace }
    export const onRequest: PagesFunction<Env, "id", { seen: string[] }> = async ({ env, data: shared }) =>
      Response.json({ text: env.TEXT, sum: await add(20, 1), page, bytes: [...new Uint8Array(data)], seen: shared.seen });`,
};

/** Content by path, without wrangler's configuration. */
export const functionsProject: Readonly<Record<string, string | Uint8Array>> = {
  ...Object.fromEntries(Object.entries(functions).map(([path, content]) => [`functions/${path}`, content])),
  "lib/adder.ts": `import module from "./add.wasm";
      export async function add(a: number, b: number): Promise<number> {
        const instance = await WebAssembly.instantiate(module);
        return (instance.exports.add as (a: number, b: number) => number)(a, b);
      }`,
  "lib/add.wasm": add,
  "lib/data.bin": Uint8Array.of(1, 2, 255),
  "lib/page.html": "<p>from a module</p>",
  "lib/modules.d.ts": `declare module "*.wasm" { const module: WebAssembly.Module; export default module; }
      declare module "*.bin" { const data: ArrayBuffer; export default data; }
      declare module "*.html" { const text: string; export default text; }`,
  "dist/index.html": "home",
  "dist/page.html": "a page",
  "dist/open.txt": "unused",
  "dist/build/app.js": "app()",
  "dist/foo": "static foo",
  "dist/404.html": "not here",
  "dist/_headers": "/page\n  x-page: by _headers\n/date\n  x-page: not for Functions\n",
  "dist/_redirects": "/date /elsewhere 301\n",
  "dist/_routes.json": JSON.stringify({ version: 1, include: ["/*"], exclude: ["/build/*"] }),
};
