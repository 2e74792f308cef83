/**
 * R2: large objects through the S3 API with signed requests and no SDK in between, and small ones by binding beside
 * Miniflare. The client writes and counts bytes and nothing else, so that the figure is the server's.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { canonicalRequest, hmacHex, signingKey, stringToSign } from "../src/protocols/sigv4/canonical.ts";
import { startPlatform, type TestPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";
import { againstMiniflare } from "./miniflare.ts";

const MIB = 2 ** 20;
const SIZE = 1024 * MIB;
const ROUNDS = 3;
const chunk = Buffer.alloc(MIB, "0123456789abcdef");

export async function run(): Promise<BenchResult[]> {
  const large = await inBenchDirectory(async (directory) => {
    const ends: (() => Promise<void>)[] = [];
    const platform = await startPlatform({ after: (fn) => void ends.unshift(fn) }, { dir: join(directory, "platform") });
    try {
      return await largeObjects(platform);
    } finally {
      for (const end of ends) await end();
    }
  });
  const small = await againstMiniflare({
    name: "r2",
    operations: ["put", "get"],
    setup: `for (let i = 0; i < 100; i++) await env.R2.put("key-" + i, "v".repeat(1024));`,
    work: {
      put: `return env.R2.put("key-" + (i % 100), "v".repeat(1024));`,
      get: `return env.R2.get("key-" + (i % 100)).then((object) => object.text());`,
    },
    async binding(platform) {
      await platform.rest("POST", `/accounts/${platform.ready.account_id}/r2/buckets`, { name: "bench" });
      return { r2_buckets: [{ binding: "R2", bucket_name: "bench" }] };
    },
    miniflare: { r2Buckets: ["R2"] },
  });
  return [...large, ...small];
}

/** How the body is vouched for. */
interface Upload {
  readonly name: string;
  readonly payloadHash: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly budget: number;
  /** The body in pieces of what the server sees. */
  body(): Iterable<Uint8Array>;
  readonly length: number;
}

function* plain(): Iterable<Uint8Array> {
  for (let at = 0; at < SIZE; at += MIB) yield chunk;
}

function uploads(): Upload[] {
  const sha256 = createHash("sha256");
  let sum = 0;
  for (const piece of plain()) {
    sha256.update(piece);
    sum = crc32(piece, sum);
  }
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(sum);
  const checksum = crc.toString("base64");
  const head = Buffer.from(`${MIB.toString(16)}\r\n`);
  const tail = Buffer.from("\r\n");
  const end = Buffer.from(`0\r\nx-amz-checksum-crc32:${checksum}\r\n\r\n`);
  return [
    { name: "put_1GiB_md5", payloadHash: "UNSIGNED-PAYLOAD", headers: {}, budget: 400, body: plain, length: SIZE },
    {
      name: "put_1GiB_md5_crc32_trailer",
      payloadHash: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
      headers: {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": String(SIZE),
        "x-amz-trailer": "x-amz-checksum-crc32",
      },
      budget: 400,
      length: SIZE + (SIZE / MIB) * (head.length + tail.length) + end.length,
      *body() {
        for (const piece of plain()) {
          yield head;
          yield piece;
          yield tail;
        }
        yield end;
      },
    },
    {
      name: "put_1GiB_md5_sha256_crc32",
      payloadHash: sha256.digest("hex"),
      headers: { "x-amz-checksum-crc32": checksum },
      budget: 400,
      body: plain,
      length: SIZE,
    },
  ];
}

async function largeObjects(platform: TestPlatform): Promise<BenchResult[]> {
  await platform.rest("POST", `/accounts/${platform.ready.account_id}/r2/buckets`, { name: "bench" });
  const results: BenchResult[] = [];
  const before = memoryMb(platform);
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, memoryMb(platform));
  }, 50);
  for (const upload of uploads()) {
    const rates = [];
    for (let round = 0; round < ROUNDS; round++) rates.push(await timed(() => put(platform, upload)));
    results.push({ name: `r2.s3_${upload.name}`, value: best(rates), unit: "MB/s", budget: upload.budget });
  }
  const rates = [];
  for (let round = 0; round < ROUNDS; round++) rates.push(await timed(() => get(platform)));
  results.push({ name: "r2.s3_get_1GiB", value: best(rates), unit: "MB/s", budget: 1000, note: "from the page cache" });
  clearInterval(watch);
  results.push({
    name: "r2.s3_memory_growth",
    value: Math.max(0, Math.round(peak - before)),
    unit: "MB",
    note: "of the platform's process",
  });
  return results;
}

const best = (rates: readonly number[]): number => Math.round(Math.max(...rates));

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return SIZE / 1000 / (performance.now() - started);
}

function memoryMb(platform: TestPlatform): number {
  const status = readFileSync(`/proc/${platform.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
}

function signed(platform: TestPlatform, method: string, path: string, payloadHash: string, extra: Readonly<Record<string, string>>) {
  const { s3 } = platform.ready;
  const amzDate = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const headers: Record<string, string> = {
    host: new URL(s3.endpoint).host,
    "x-amz-content-sha256": payloadHash,
    "x-amz-date": amzDate,
    ...extra,
  };
  const names = Object.keys(headers).sort();
  const scope = { date: amzDate.slice(0, 8), region: "auto", service: "s3" };
  const request = { method, path, query: "", rawHeaders: Object.entries(headers).flat() };
  const canonical = canonicalRequest(request, names, payloadHash, { pathAsSent: false, headerBytes: false });
  const signature = hmacHex(signingKey(s3.secret_access_key, scope), stringToSign(amzDate, scope, canonical));
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${s3.access_key_id}/${scope.date}/auto/s3/aws4_request, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return { headers };
}

async function put(platform: TestPlatform, upload: Upload): Promise<void> {
  const { headers } = signed(platform, "PUT", "/bench/large", upload.payloadHash, upload.headers);
  const request = http.request(`${platform.ready.s3.endpoint}/bench/large`, {
    method: "PUT",
    headers: { ...headers, "content-length": upload.length },
  });
  const answered = new Promise<void>((resolve, reject) => {
    request.on("error", reject).on("response", (response) => {
      if (response.statusCode === 200) response.resume().on("end", resolve);
      else response.on("data", (text: Buffer) => reject(new Error(text.toString())));
    });
  });
  for (const piece of upload.body()) {
    if (!request.write(piece)) await new Promise((resolve) => request.once("drain", resolve));
  }
  request.end();
  await answered;
}

async function get(platform: TestPlatform): Promise<void> {
  const { headers } = signed(platform, "GET", "/bench/large", "UNSIGNED-PAYLOAD", {});
  await new Promise<void>((resolve, reject) => {
    http.get(`${platform.ready.s3.endpoint}/bench/large`, { headers }, (response) => {
      let bytes = 0;
      response.on("data", (piece: Buffer) => {
        bytes += piece.length;
      });
      response.on("end", () => (bytes === SIZE ? resolve() : reject(new Error(`${bytes} bytes came`))));
      response.on("error", reject);
    });
  });
}
