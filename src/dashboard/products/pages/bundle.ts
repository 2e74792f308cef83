/**
 * What was chosen or dropped, as a deployment: files with the names that they are served under, and the files that are rules or
 * code. A zip archive is what it holds, a folder that everything lies in is left out of the names.
 * https://developers.cloudflare.com/pages/get-started/direct-upload/
 */
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { unzip } from "fflate";
import type { ChosenFile } from "../../components/choose-files.tsx";

export interface SiteFile {
  /** "/index.html" */
  readonly path: string;
  readonly hash: string;
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface Bundle {
  readonly files: readonly SiteFile[];
  /** Parts of the deployment's form: `_headers`, `_worker.js`, … */
  readonly parts: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/** Documented for uploads by drag and drop. */
export const FILES_MAX = 1_000;
const FILE_MAX_BYTES = 25 * 1024 * 1024;
const PARTS = new Set(["_headers", "_redirects", "_routes.json", "_worker.js"]);
/** What wrangler leaves out, too. */
const IGNORED = /(^|\/)(\.DS_Store|\.git\/.*|node_modules\/.*|__MACOSX\/.*)$/;

const TYPES: Readonly<Record<string, string>> = {
  ...{ html: "text/html", css: "text/css", js: "text/javascript", mjs: "text/javascript", json: "application/json", txt: "text/plain" },
  ...{ xml: "application/xml", md: "text/markdown", csv: "text/csv", svg: "image/svg+xml", png: "image/png", jpg: "image/jpeg" },
  ...{
    jpeg: "image/jpeg",
    gif: "image/gif",
    webp: "image/webp",
    avif: "image/avif",
    ico: "image/x-icon",
    woff: "font/woff",
    woff2: "font/woff2",
  },
  ...{
    ttf: "font/ttf",
    otf: "font/otf",
    pdf: "application/pdf",
    wasm: "application/wasm",
    mp4: "video/mp4",
    webmanifest: "application/manifest+json",
  },
};

/** Throws an Error that says what is wrong. */
export async function bundleOf(chosen: readonly ChosenFile[]): Promise<Bundle> {
  const [only] = chosen;
  const found = chosen.length === 1 && /\.zip$/i.test(only?.path ?? "") ? await unzipped((only as ChosenFile).file) : await read(chosen);
  const kept = withoutFolder(found.filter(({ path }) => !IGNORED.test(path)));
  if (kept.some(({ path }) => path.startsWith("_worker.js/")))
    throw new Error("A _worker.js that is a folder needs wrangler: it has to be bundled.");
  const parts = new Map(kept.filter(({ path }) => PARTS.has(path)).map(({ path, bytes }) => [path, bytes]));
  const files = kept.filter(({ path }) => !PARTS.has(path));
  if (files.length === 0 && parts.size === 0) throw new Error("There is nothing to deploy in what was chosen.");
  if (files.length > FILES_MAX) throw new Error(`An upload has at most ${FILES_MAX.toLocaleString("en")} files. wrangler takes more.`);
  const large = files.find(({ bytes }) => bytes.length > FILE_MAX_BYTES);
  if (large !== undefined) throw new Error(`${large.path} is larger than 25 MiB.`);
  return { files: files.map(siteFile), parts };
}

interface Found {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const read = (chosen: readonly ChosenFile[]): Promise<Found[]> => {
  if (chosen.length > FILES_MAX * 2) throw new Error(`An upload has at most ${FILES_MAX.toLocaleString("en")} files. wrangler takes more.`);
  return Promise.all(chosen.map(async ({ path, file }) => ({ path, bytes: new Uint8Array(await file.arrayBuffer()) })));
};

async function unzipped(file: File): Promise<Found[]> {
  const archive = new Uint8Array(await file.arrayBuffer());
  const entries = await new Promise<Record<string, Uint8Array>>((resolve, reject) =>
    unzip(archive, (error, data) => (error === null ? resolve(data) : reject(new Error("The archive cannot be read.", { cause: error })))),
  );
  return Object.entries(entries)
    .filter(([path]) => !path.endsWith("/"))
    .map(([path, bytes]) => ({ path, bytes: bytes as Uint8Array<ArrayBuffer> }));
}

function withoutFolder(found: readonly Found[]): Found[] {
  const folder = found[0]?.path.split("/")[0] ?? "";
  const within = found.every(({ path }) => path.startsWith(`${folder}/`)) && folder !== "_worker.js";
  return found.map(({ path, bytes }) => ({ path: within ? path.slice(folder.length + 1) : path, bytes }));
}

/** The hash that wrangler gives the file, so that neither uploads what the other has. */
function siteFile({ path, bytes }: Found): SiteFile {
  const extension = /\.([^./]+)$/.exec(path)?.[1] ?? "";
  const hash = bytesToHex(blake3(new TextEncoder().encode(base64(bytes) + extension))).slice(0, 32);
  return { path: `/${path}`, hash, type: TYPES[extension.toLowerCase()] ?? "application/octet-stream", bytes };
}

export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
