/** The content type of a body by its first bytes, for uploads that name none (docs/r2/platform/release-notes 2022-08-06). */

const SIGNATURES: readonly (readonly [offset: number, hex: string, type: string])[] = [
  [0, "89504e470d0a1a0a", "image/png"],
  [0, "ffd8ff", "image/jpeg"],
  [0, "474946383761", "image/gif"],
  [0, "474946383961", "image/gif"],
  [8, "57454250", "image/webp"],
  [4, "6674797061766966", "image/avif"],
  [4, "6674797068656963", "image/heic"],
  [0, "424d", "image/bmp"],
  [0, "49492a00", "image/tiff"],
  [0, "4d4d002a", "image/tiff"],
  [0, "255044462d", "application/pdf"],
  [0, "504b0304", "application/zip"],
  [0, "1f8b08", "application/gzip"],
  [0, "425a68", "application/x-bzip2"],
  [0, "fd377a585a00", "application/x-xz"],
  [0, "28b52ffd", "application/zstd"],
  [0, "377abcaf271c", "application/x-7z-compressed"],
  [257, "7573746172", "application/x-tar"],
  [0, "0061736d", "application/wasm"],
  [0, "50415231", "application/vnd.apache.parquet"],
  [0, "53514c69746520666f726d6174203300", "application/x-sqlite3"],
  [0, "1a45dfa3", "video/webm"],
  [4, "66747970", "video/mp4"],
  [0, "494433", "audio/mpeg"],
  [0, "fffb", "audio/mpeg"],
  [0, "4f676753", "audio/ogg"],
  [0, "664c6143", "audio/flac"],
  [8, "57415645", "audio/wav"],
  [0, "774f4646", "font/woff"],
  [0, "774f4632", "font/woff2"],
];

/** Undefined when no signature matches; text has none. */
export function sniffContentType(head: Uint8Array): string | undefined {
  const hex = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString("hex");
  return SIGNATURES.find(([offset, signature]) => hex.startsWith(signature, offset * 2))?.[2];
}
