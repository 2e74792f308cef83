using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "user", worker = (modules = [(name = "index.js", esModule = "export class A {}\nexport default { fetch() { return new Response(\"\\\"ö\\t\\u0001\") } }"), (name = "note.txt", text = "line 1\r\nline 2 \x01"), (name = "data.bin", data = embed "/d/data.bin")], compatibilityDate = "2026-01-01", compatibilityFlags = ["nodejs_compat"], bindings = [(name = "TEXT", text = "a \"quoted\" \\ value"), (name = "JSON", json = "{\"a\":[1,2]}"), (name = "SECRET", fromEnvironment = "FREEHOLD_SECRET_0"), (name = "A", durableObjectNamespace = (className = "A")), (name = "KV", kvNamespace = (name = "kv:1")), (name = "BUCKET", r2Bucket = (name = "kv:1")), (name = "OTHER", service = (name = "other", entrypoint = "Named", props = (json = "{\"tenant\":7}"))), (name = "D1", wrapped = (moduleName = "cloudflare-internal:d1-api", innerBindings = [(name = "fetcher", service = (name = "kv:1"))]))], globalOutbound = (name = "internet"), durableObjectNamespaces = [(className = "A", uniqueKey = "0123", enableSql = true)], durableObjectStorage = (localDisk = "objects"))),
    (name = "other", worker = (serviceWorkerScript = "addEventListener(\"fetch\", () => {})", compatibilityDate = "2024-01-01")),
    (name = "kv:1", external = (address = "unix:/run/x.sock", http = (injectRequestHeaders = [(name = "x-cap", value = "kv.e30.abc"), (name = "x-gone")]))),
    (name = "objects", disk = (path = "/d", writable = true)),
    (name = "internet", network = (allow = ["public"], deny = ["203.0.113.0/24"], tlsOptions = (trustBrowserCas = true)))
  ],
  sockets = [
    (name = "http", address = "unix:/d/http.sock", http = (cfBlobHeader = "x-cf", capnpConnectHost = "rpc"), service = (name = "user"))
  ],
  v8Flags = ["--max-old-space-size=128"],
  extensions = [(modules = [
    (name = "freehold:x", internal = true, esModule = "export default 1;")
  ])]
);
