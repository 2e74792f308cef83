/**
 * workerd's configuration as typed values, and its text form. Mirrors the parts of `workerd.capnp` that we use;
 * every assumption about that format is kept in this folder. Golden files under test/golden/workerd test it.
 */

/** A reference to a service, or to one of its named entrypoints, with props. */
export type ServiceDesignator = string | { readonly name: string; readonly entrypoint?: string; readonly props?: unknown };

export interface Header {
  readonly name: string;
  /** Absent: the header is removed. */
  readonly value?: string;
}

export interface HttpOptions {
  readonly cfBlobHeader?: string;
  readonly forwardedProtoHeader?: string;
  readonly capnpConnectHost?: string;
  readonly injectRequestHeaders?: readonly Header[];
}

/** Source text, inside the config or taken from a file when workerd starts. */
export type SourceText = string | EmbeddedFile;

export type Module =
  | { readonly name: string; readonly esModule: SourceText }
  | { readonly name: string; readonly commonJsModule: SourceText; readonly namedExports?: readonly string[] }
  | { readonly name: string; readonly text: SourceText }
  | { readonly name: string; readonly json: SourceText }
  | { readonly name: string; readonly data: EmbeddedFile }
  | { readonly name: string; readonly wasm: EmbeddedFile }
  /** A module that workerd ships: "/workerd/kv.js". */
  | { readonly name: string; readonly bundled: string };

/** Bytes that the config takes from a file when workerd starts. The path is absolute. */
export interface EmbeddedFile {
  readonly file: string;
}

export type BindingValue =
  | { readonly text: SourceText }
  | { readonly json: string }
  | { readonly data: EmbeddedFile }
  /** Loads Workers from code that the Worker gives at run time. */
  | { readonly workerLoader: { readonly id?: string } }
  /** Service-worker syntax only. */
  | { readonly wasmModule: EmbeddedFile }
  | { readonly service: ServiceDesignator }
  | { readonly durableObjectNamespace: { readonly className: string; readonly serviceName?: string } }
  | { readonly kvNamespace: ServiceDesignator }
  | { readonly r2Bucket: ServiceDesignator }
  | { readonly queue: ServiceDesignator }
  | { readonly wrapped: { readonly moduleName: string; readonly entrypoint?: string; readonly innerBindings: readonly Binding[] } }
  | { readonly fromEnvironment: string }
  | { readonly hyperdrive: Hyperdrive }
  | { readonly cryptoKeyHmacHex: string };

/** What a Worker's driver is told of its database; its connections go to `designator`, a service that speaks TCP. */
export interface Hyperdrive {
  readonly designator: ServiceDesignator;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** "postgres", "postgresql" or "mysql", which also gives the port. */
  readonly scheme: string;
}

export type Binding = { readonly name: string } & BindingValue;

export interface DurableObjectNamespace {
  readonly className: string;
  /** Stable for the life of the namespace: object ids and files derive from it. */
  readonly uniqueKey: string;
  readonly enableSql: boolean;
  /** Objects of the namespace have a container, of this image where they name none; see `WorkerService.containerEngine`. */
  readonly container?: { readonly imageName: string };
}

/** Where workerd asks for containers: something that answers the calls of Docker's API that it makes. */
export interface ContainerEngine {
  /** Path of a unix socket. */
  readonly socketPath: string;
  /** Part of the names under which it asks: letters, digits, "_", "." and "-". */
  readonly sessionId: string;
}

export interface WorkerService {
  readonly modules?: readonly Module[];
  readonly serviceWorkerScript?: SourceText;
  readonly compatibilityDate: string;
  readonly compatibilityFlags?: readonly string[];
  readonly bindings?: readonly Binding[];
  readonly globalOutbound?: ServiceDesignator;
  readonly cacheApiOutbound?: ServiceDesignator;
  readonly durableObjectNamespaces?: readonly DurableObjectNamespace[];
  /** Name of the disk service that holds the objects, or memory for objects that store nothing. */
  readonly durableObjectStorage?: string | { readonly inMemory: true };
  readonly containerEngine?: ContainerEngine;
  readonly tails?: readonly ServiceDesignator[];
  /** Tail Workers that see each event of an invocation as it happens, spans included. */
  readonly streamingTails?: readonly ServiceDesignator[];
}

/** How connections of a network service trust and show certificates; all in PEM. */
export interface TlsOptions {
  readonly trustBrowserCas?: boolean;
  readonly trustedCertificates?: readonly string[];
  /** What the client shows to servers that ask. */
  readonly keypair?: { readonly privateKey: string; readonly certificateChain: string };
}

export type Service = { readonly name: string } & (
  | { readonly worker: WorkerService }
  /** Without HTTP options it is spoken to in raw bytes. */
  | { readonly external: { readonly address: string; readonly http?: HttpOptions } }
  | { readonly network: { readonly allow: readonly string[]; readonly deny?: readonly string[]; readonly tls?: TlsOptions } }
  | { readonly disk: { readonly path: string; readonly writable: boolean; readonly allowDotfiles?: boolean } }
  | {
      readonly assets: {
        readonly path: string;
        readonly config: string;
        readonly userWorker?: ServiceDesignator;
        readonly compatibilityDate?: string;
        readonly compatibilityFlags?: readonly string[];
      };
    }
);

export interface Socket {
  readonly name: string;
  /** "unix:/path". */
  readonly address: string;
  readonly http: HttpOptions;
  readonly service: ServiceDesignator;
}

/** An extension module, for `wrapped` bindings. Its name is a URL: "freehold:pipelines". */
export interface ExtensionModule {
  readonly name: string;
  readonly esModule: string;
  readonly internal?: boolean;
}

export interface WorkerdConfig {
  readonly services: readonly Service[];
  readonly sockets: readonly Socket[];
  readonly v8Flags?: readonly string[];
  readonly extensions?: readonly ExtensionModule[];
}

/** A Cap'n Proto string literal. */
function text(value: string): string {
  let out = '"';
  for (const char of value) {
    const code = char.codePointAt(0) as number;
    if (char === '"' || char === "\\") out += `\\${char}`;
    else if (char === "\n") out += "\\n";
    else if (char === "\r") out += "\\r";
    else if (char === "\t") out += "\\t";
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else out += char;
  }
  return `${out}"`;
}

type Field = readonly [name: string, value: string | undefined];

function struct(fields: readonly Field[]): string {
  return `(${fields.flatMap(([name, value]) => (value === undefined ? [] : [`${name} = ${value}`])).join(", ")})`;
}

function list<T>(items: readonly T[], encode: (item: T) => string): string {
  return `[${items.map(encode).join(", ")}]`;
}

function some<T>(value: T | undefined, encode: (value: T) => string): string | undefined {
  return value === undefined ? undefined : encode(value);
}

const embed = (file: EmbeddedFile): string => `embed ${text(file.file)}`;

const source = (value: SourceText): string => (typeof value === "string" ? text(value) : embed(value));

function designator(value: ServiceDesignator): string {
  if (typeof value === "string") return struct([["name", text(value)]]);
  return struct([
    ["name", text(value.name)],
    ["entrypoint", some(value.entrypoint, text)],
    ["props", some(value.props, (props) => struct([["json", text(JSON.stringify(props))]]))],
  ]);
}

function http(options: HttpOptions): string {
  return struct([
    ["forwardedProtoHeader", some(options.forwardedProtoHeader, text)],
    ["cfBlobHeader", some(options.cfBlobHeader, text)],
    [
      "injectRequestHeaders",
      some(options.injectRequestHeaders, (headers) =>
        list(headers, (h) =>
          struct([
            ["name", text(h.name)],
            ["value", some(h.value, text)],
          ]),
        ),
      ),
    ],
    ["capnpConnectHost", some(options.capnpConnectHost, text)],
  ]);
}

function moduleText(module: Module): string {
  const name: Field = ["name", text(module.name)];
  if ("esModule" in module) return struct([name, ["esModule", source(module.esModule)]]);
  if ("commonJsModule" in module) {
    return struct([
      name,
      ["commonJsModule", source(module.commonJsModule)],
      ["namedExports", some(module.namedExports, (names) => list(names, text))],
    ]);
  }
  if ("text" in module) return struct([name, ["text", source(module.text)]]);
  if ("json" in module) return struct([name, ["json", source(module.json)]]);
  if ("data" in module) return struct([name, ["data", embed(module.data)]]);
  if ("wasm" in module) return struct([name, ["wasm", embed(module.wasm)]]);
  return struct([name, ["bundled", text(module.bundled)]]);
}

function bindingValue(binding: Binding): Field {
  if ("text" in binding) return ["text", source(binding.text)];
  if ("json" in binding) return ["json", text(binding.json)];
  if ("data" in binding) return ["data", embed(binding.data)];
  if ("workerLoader" in binding) return ["workerLoader", struct([["id", some(binding.workerLoader.id, text)]])];
  if ("wasmModule" in binding) return ["wasmModule", embed(binding.wasmModule)];
  if ("service" in binding) return ["service", designator(binding.service)];
  if ("durableObjectNamespace" in binding) {
    const { className, serviceName } = binding.durableObjectNamespace;
    return [
      "durableObjectNamespace",
      struct([
        ["className", text(className)],
        ["serviceName", some(serviceName, text)],
      ]),
    ];
  }
  if ("kvNamespace" in binding) return ["kvNamespace", designator(binding.kvNamespace)];
  if ("r2Bucket" in binding) return ["r2Bucket", designator(binding.r2Bucket)];
  if ("queue" in binding) return ["queue", designator(binding.queue)];
  if ("fromEnvironment" in binding) return ["fromEnvironment", text(binding.fromEnvironment)];
  if ("hyperdrive" in binding) {
    const { designator: service, ...told } = binding.hyperdrive;
    return [
      "hyperdrive",
      struct([["designator", designator(service)], ...Object.entries(told).map(([name, value]): Field => [name, text(value)])]),
    ];
  }
  if ("cryptoKeyHmacHex" in binding) {
    const algorithm = struct([["json", text(JSON.stringify({ name: "HMAC", hash: "SHA-256" }))]]);
    return [
      "cryptoKey",
      struct([
        ["hex", text(binding.cryptoKeyHmacHex)],
        ["algorithm", algorithm],
        ["usages", "[verify]"],
      ]),
    ];
  }
  const { moduleName, entrypoint, innerBindings } = binding.wrapped;
  return [
    "wrapped",
    struct([
      ["moduleName", text(moduleName)],
      ["entrypoint", some(entrypoint, text)],
      ["innerBindings", list(innerBindings, bindingText)],
    ]),
  ];
}

const bindingText = (binding: Binding): string => struct([["name", text(binding.name)], bindingValue(binding)]);

function worker(value: WorkerService): string {
  return struct([
    ["modules", some(value.modules, (modules) => list(modules, moduleText))],
    ["serviceWorkerScript", some(value.serviceWorkerScript, source)],
    ["compatibilityDate", text(value.compatibilityDate)],
    ["compatibilityFlags", some(value.compatibilityFlags, (flags) => list(flags, text))],
    ["bindings", some(value.bindings, (bindings) => list(bindings, bindingText))],
    ["globalOutbound", some(value.globalOutbound, designator)],
    ["cacheApiOutbound", some(value.cacheApiOutbound, designator)],
    [
      "durableObjectNamespaces",
      some(value.durableObjectNamespaces, (namespaces) =>
        list(namespaces, (n) =>
          struct([
            ["className", text(n.className)],
            ["uniqueKey", text(n.uniqueKey)],
            ["enableSql", String(n.enableSql)],
            ["container", some(n.container, ({ imageName }) => struct([["imageName", text(imageName)]]))],
          ]),
        ),
      ),
    ],
    [
      "durableObjectStorage",
      some(value.durableObjectStorage, (at) => struct([typeof at === "string" ? ["localDisk", text(at)] : ["inMemory", "void"]])),
    ],
    ["containerEngine", some(value.containerEngine, containerEngine)],
    ["tails", some(value.tails, (tails) => list(tails, designator))],
    ["streamingTails", some(value.streamingTails, (tails) => list(tails, designator))],
  ]);
}

function containerEngine({ socketPath, sessionId }: ContainerEngine): string {
  const docker = struct([
    ["socketPath", text(`unix:${socketPath}`)],
    // workerd wants a name; what stands at the socket has no such image.
    ["containerEgressInterceptorImage", text("none")],
    ["sessionId", text(sessionId)],
  ]);
  return struct([["localDocker", docker]]);
}

function tlsOptions({ trustBrowserCas, trustedCertificates, keypair }: TlsOptions): string {
  return struct([
    [
      "keypair",
      some(keypair, ({ privateKey, certificateChain }) =>
        struct([
          ["privateKey", text(privateKey)],
          ["certificateChain", text(certificateChain)],
        ]),
      ),
    ],
    ["trustBrowserCas", some(trustBrowserCas, String)],
    ["trustedCertificates", some(trustedCertificates, (certificates) => list(certificates, text))],
  ]);
}

function service(value: Service): string {
  const name: Field = ["name", text(value.name)];
  if ("worker" in value) return struct([name, ["worker", worker(value.worker)]]);
  if ("external" in value)
    return struct([
      name,
      [
        "external",
        struct([
          ["address", text(value.external.address)],
          value.external.http === undefined ? ["tcp", "()"] : ["http", http(value.external.http)],
        ]),
      ],
    ]);
  if ("disk" in value) {
    const { path, writable, allowDotfiles } = value.disk;
    return struct([
      name,
      [
        "disk",
        struct([
          ["path", text(path)],
          ["writable", String(writable)],
          ["allowDotfiles", some(allowDotfiles, String)],
        ]),
      ],
    ]);
  }
  if ("network" in value) {
    const { allow, deny, tls } = value.network;
    return struct([
      name,
      [
        "network",
        struct([
          ["allow", list(allow, text)],
          ["deny", some(deny, (d) => list(d, text))],
          ["tlsOptions", some(tls, tlsOptions)],
        ]),
      ],
    ]);
  }
  const { path, config, userWorker, compatibilityDate, compatibilityFlags } = value.assets;
  return struct([
    name,
    [
      "assets",
      struct([
        ["path", text(path)],
        ["config", text(config)],
        ["userWorker", some(userWorker, designator)],
        ["compatibilityDate", some(compatibilityDate, text)],
        ["compatibilityFlags", some(compatibilityFlags, (flags) => list(flags, text))],
      ]),
    ],
  ]);
}

/** The config as Cap'n Proto text with one constant, `config`. One service and one socket a line, so that diffs read well. */
export function renderConfig(config: WorkerdConfig): string {
  const lines = (items: readonly string[]) => (items.length === 0 ? "[]" : `[\n    ${items.join(",\n    ")}\n  ]`);
  const fields: Field[] = [
    ["services", lines(config.services.map(service))],
    [
      "sockets",
      lines(
        config.sockets.map((s) =>
          struct([
            ["name", text(s.name)],
            ["address", text(s.address)],
            ["http", http(s.http)],
            ["service", designator(s.service)],
          ]),
        ),
      ),
    ],
    ["v8Flags", some(config.v8Flags, (flags) => list(flags, text))],
    [
      "extensions",
      some(
        config.extensions,
        (modules) =>
          `[${struct([
            [
              "modules",
              lines(
                modules.map((m) =>
                  struct([
                    ["name", text(m.name)],
                    ["internal", some(m.internal, String)],
                    ["esModule", text(m.esModule)],
                  ]),
                ),
              ),
            ],
          ])}]`,
      ),
    ],
  ];
  const body = fields.flatMap(([name, value]) => (value === undefined ? [] : [`  ${name} = ${value}`])).join(",\n");
  return `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = (\n${body}\n);\n`;
}
