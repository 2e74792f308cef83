/**
 * What a file holds: by its name where that says so, by its first bytes otherwise. It decides whether contents are told as text
 * or in base64, so what is not known counts as text only when it reads as UTF-8 without control characters.
 */
import { extname } from "node:path";

const BY_EXTENSION: Record<string, string> = {
  css: "text/css",
  csv: "text/csv",
  gif: "image/gif",
  gz: "application/gzip",
  htm: "text/html",
  html: "text/html",
  ico: "image/x-icon",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  js: "text/javascript",
  json: "application/json",
  md: "text/markdown",
  mjs: "text/javascript",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  pdf: "application/pdf",
  png: "image/png",
  py: "text/x-python",
  sh: "application/x-sh",
  svg: "image/svg+xml",
  tar: "application/x-tar",
  toml: "application/toml",
  ts: "text/x-typescript",
  txt: "text/plain",
  wasm: "application/wasm",
  webp: "image/webp",
  xml: "application/xml",
  yaml: "application/yaml",
  yml: "application/yaml",
  zip: "application/zip",
};

const BY_FIRST_BYTES: readonly [string, string][] = [
  ["89504e470d0a1a0a", "image/png"],
  ["ffd8ff", "image/jpeg"],
  ["47494638", "image/gif"],
  ["25504446", "application/pdf"],
  ["504b0304", "application/zip"],
  ["1f8b", "application/gzip"],
  ["7f454c46", "application/x-executable"],
];

const TEXT = new Set(["application/json", "application/toml", "application/x-sh", "application/xml", "application/yaml"]);

export function mimeType(path: string, bytes: Buffer): string {
  const known = BY_EXTENSION[extname(path).slice(1).toLowerCase()];
  if (known) return known;
  if (bytes.length === 0) return "text/plain";
  const first = bytes.subarray(0, 8).toString("hex");
  const magic = BY_FIRST_BYTES.find(([prefix]) => first.startsWith(prefix));
  return magic?.[1] ?? (readsAsText(bytes) ? "text/plain" : "application/octet-stream");
}

export function isText(type: string): boolean {
  return type.startsWith("text/") || TEXT.has(type) || /\+(json|xml)$/.test(type);
}

function readsAsText(bytes: Buffer): boolean {
  const sample = bytes.subarray(0, 8192);
  if (sample.includes(0)) return false;
  try {
    // A piece may end in the middle of a character.
    new TextDecoder("utf-8", { fatal: true }).decode(sample, { stream: true });
    return true;
  } catch {
    return false;
  }
}
