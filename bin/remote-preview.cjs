/**
 * Loaded by every Node program under `freehold exec`, for `wrangler dev`: its remote mode and its remote bindings send
 * requests to `https://<worker>.<subdomain>.workers.dev` from a Worker of their own ("ProxyWorker") that workerd runs on this
 * machine, and workerd knows no proxy. Here that Worker's requests go out through the Node program instead, which does.
 * Everything else of wrangler's workerd processes stays as it is. The preview's logs come on a WebSocket that wrangler opens
 * without a proxy: for its sake names below "localhost" are this machine, as RFC 6761 has it and few resolvers know.
 */
const dns = require("node:dns");
const https = require("node:https");
const Module = require("node:module");

const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(/\.localhost\.?$/i.test(name) ? "localhost" : name, ...rest);

const load = Module._load;
Module._load = function (request, parent, isMain) {
  const loaded = load.call(this, request, parent, isMain);
  return request === "miniflare" ? withProxy(loaded, parent) : loaded;
};

let patched;

/** The module with a `Miniflare` whose ProxyWorkers use the proxy of the environment. */
function withProxy(miniflare, parent) {
  if (patched?.of === miniflare) return patched.as;
  const outbound = (request) => send(miniflare, Module.createRequire(Module._resolveFilename("miniflare", parent))("ws"), request);
  const proxied = (options) => ({
    ...options,
    workers: options.workers?.map((worker) => (worker.name === "ProxyWorker" ? { ...worker, outboundService: outbound } : worker)),
  });
  const Miniflare = new Proxy(miniflare.Miniflare, {
    construct: (target, [options], newTarget) => Reflect.construct(target, [proxied(options)], newTarget),
  });
  const changed = { Miniflare, convertV4MiniflareOptions: (options) => miniflare.convertV4MiniflareOptions(proxied(options)) };
  const as = new Proxy(miniflare, { get: (target, name) => (Object.hasOwn(changed, name) ? changed[name] : target[name]) });
  patched = { of: miniflare, as };
  return as;
}

async function send(miniflare, WebSocket, request) {
  if (request.headers.get("upgrade") !== "websocket") return miniflare.fetch(request);
  // miniflare's own fetch opens WebSockets past the proxy.
  const url = request.url.replace(/^http/, "ws");
  const headers = Object.fromEntries([...request.headers].filter(([name]) => !/^(sec-websocket-.*|connection|upgrade|host)$/.test(name)));
  const protocols = request.headers
    .get("sec-websocket-protocol")
    ?.split(",")
    .map((protocol) => protocol.trim());
  const socket = new WebSocket(url, protocols, { headers, agent: new https.Agent({ proxyEnv: process.env }) });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("unexpected-response", (_, answer) => resolve(new miniflare.Response(answer, { status: answer.statusCode })));
    socket.once("upgrade", () => {
      const [worker, client] = Object.values(new miniflare.WebSocketPair());
      miniflare
        .coupleWebSocket(socket, client)
        .then(() => resolve(new miniflare.Response(null, { status: 101, webSocket: worker })), reject);
    });
  });
}
