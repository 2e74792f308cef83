/**
 * The environment in which an unchanged client talks to the platform: addresses, credentials, the proxy for the host
 * names that clients have built in, and trust in our CA. What each variable is for stands at its line.
 */
import { existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { type ReadyFile, replaceFile } from "./data-directory.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine, Arch
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
  "/etc/ssl/ca-bundle.pem", // SUSE
  "/etc/ssl/cert.pem", // macOS, BSD
];

/** Variables that name one file with the certificates a client trusts, instead of the system's. */
const BUNDLE_VARIABLES = [
  "SSL_CERT_FILE", // OpenSSL, Go, Ruby, Rust, httpx
  "REQUESTS_CA_BUNDLE", // Python requests
  "CURL_CA_BUNDLE", // curl; also read by requests
  "AWS_CA_BUNDLE", // boto3 and the AWS command line
] as const;

/** From src/cli and from dist/cli alike. */
const PROXY_AGENTS_OPTION = `--require ${JSON.stringify(fileURLToPath(new URL("../../bin/proxy-agents.cjs", import.meta.url)))}`;

/** The variables to add to `base`. Writes the bundle of certificates that they point to, if it changed. */
export function clientEnvironment(ready: ReadyFile, base: Environment): Record<string, string> {
  const bundle = writeBundle(ready, base);
  return {
    // wrangler (CLOUDFLARE_API_BASE_URL) and the SDKs (CLOUDFLARE_BASE_URL).
    CLOUDFLARE_API_BASE_URL: ready.api,
    CLOUDFLARE_BASE_URL: ready.api,
    CLOUDFLARE_API_TOKEN: ready.api_token,
    CLOUDFLARE_ACCOUNT_ID: ready.account_id,
    // `wrangler r2 sql query` and its name in newer versions take their token from here.
    WRANGLER_R2_SQL_AUTH_TOKEN: ready.api_token,
    WRANGLER_BASIN_SQL_AUTH_TOKEN: ready.api_token,

    AWS_ENDPOINT_URL_S3: ready.s3.endpoint,
    AWS_ACCESS_KEY_ID: ready.s3.access_key_id,
    AWS_SECRET_ACCESS_KEY: ready.s3.secret_access_key,
    AWS_REGION: "auto",
    // boto3 reads only this one.
    AWS_DEFAULT_REGION: "auto",

    ...proxyVariables(ready.proxy, base),
    ...Object.fromEntries(BUNDLE_VARIABLES.map((name) => [name, bundle])),
    // Node adds these to the certificates it has built in; someone's own file is part of our bundle.
    NODE_EXTRA_CA_CERTS: base.NODE_EXTRA_CA_CERTS === undefined || base.NODE_EXTRA_CA_CERTS === ready.ca_file ? ready.ca_file : bundle,

    ...ready.client_environment,

    // wrangler asks its maker's servers about updates (with its banner) and usage; on this machine that may not answer.
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",

    // wrangler needs a newer Node than a system may have: ours goes first, then programs of the project one is in.
    PATH: [
      dirname(process.execPath),
      ...binDirectories(process.cwd()),
      ...binDirectories(dirname(fileURLToPath(import.meta.url))),
      base.PATH,
    ]
      .filter((entry) => entry !== undefined && entry !== "")
      .join(delimiter),
  };
}

/**
 * Variables of `base` that would lead a client elsewhere, or that win over ours: the other forms of Cloudflare
 * credentials, and AWS settings that belong to a real account.
 */
export const removedVariables = [
  "CLOUDFLARE_API_KEY",
  "CLOUDFLARE_EMAIL",
  "CLOUDFLARE_API_USER_SERVICE_KEY",
  "CF_API_TOKEN",
  "CF_API_KEY",
  "CF_EMAIL",
  "CF_ACCOUNT_ID",
  "CF_API_BASE_URL",
  "WRANGLER_API_ENVIRONMENT",
  "CLOUDFLARE_COMPLIANCE_REGION",
  "AWS_PROFILE",
  "AWS_SESSION_TOKEN",
  "AWS_ENDPOINT_URL",
  "ALL_PROXY",
  "all_proxy",
] as const;

function proxyVariables(proxy: string, base: Environment): Record<string, string> {
  const kept = (base.NO_PROXY ?? base.no_proxy ?? "")
    .split(/[,\s]+/)
    // "localhost" covers *.localhost in most clients, and with it our own names, which few resolvers know; "*" is everything.
    .filter((entry) => entry !== "" && entry !== "*" && !/^\.?localhost(:\d+)?$/.test(entry));
  const noProxy = [...new Set(["127.0.0.1", "::1", ...kept])].join(",");
  return {
    HTTPS_PROXY: proxy,
    https_proxy: proxy,
    HTTP_PROXY: proxy,
    http_proxy: proxy,
    NO_PROXY: noProxy,
    no_proxy: noProxy,
    // Node's own fetch looks at the variables above only when it is told to; agents of the AWS SDK need more.
    NODE_USE_ENV_PROXY: "1",
    NODE_OPTIONS: [base.NODE_OPTIONS?.replace(PROXY_AGENTS_OPTION, "").trim(), PROXY_AGENTS_OPTION].filter(Boolean).join(" "),
  };
}

/** `node_modules/.bin` of a directory and of those above it. */
function binDirectories(from: string): string[] {
  const found: string[] = [];
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, "node_modules", ".bin");
    if (existsSync(candidate)) found.push(candidate);
    if (directory === dirname(directory)) return found;
  }
}

/** One file with the certificates that the environment trusts already, and ours. Its path. */
function writeBundle(ready: ReadyFile, base: Environment): string {
  const file = join(dirname(ready.ca_file), "bundle.pem");
  const extra = base.NODE_EXTRA_CA_CERTS;
  const own = BUNDLE_VARIABLES.map((name) => base[name]).find((path) => path !== undefined && path !== file && existsSync(path));
  const trusted = own ?? SYSTEM_BUNDLES.find((path) => existsSync(path));
  const parts = [
    trusted === undefined ? rootCertificates.join("\n") : readFileSync(trusted, "utf8"),
    extra !== undefined && ![trusted, file, ready.ca_file].includes(extra) && existsSync(extra) ? readFileSync(extra, "utf8") : "",
    readFileSync(ready.ca_file, "utf8"),
  ];
  const content = parts
    .map((part) => part.trim())
    .filter(Boolean)
    .join("\n")
    .concat("\n");
  if (!existsSync(file) || readFileSync(file, "utf8") !== content) replaceFile(file, content);
  return file;
}
