/**
 * EXIF data of a photograph: what is kept of it in a JPEG that was made anew. Not a parser of all of EXIF: it reads the
 * first directory, for the copyright and the orientation. Pure; what is malformed counts as none.
 */

const PREFIX = Buffer.from("Exif\0\0", "latin1");
const COPYRIGHT = 0x8298;
const ORIENTATION = 0x0112;
const ASCII = 2;
/** Longest segment of a JPEG, its length included. */
const SEGMENT_MAX_BYTES = 65_535;

interface Entry {
  readonly tag: number;
  readonly type: number;
  readonly count: number;
  /** Where the value, or the offset of a longer one, stands. */
  readonly at: number;
}

interface Directory {
  readonly tiff: Buffer;
  readonly entries: readonly Entry[];
  uint16(at: number): number;
  uint32(at: number): number;
}

function firstDirectory(exif: Buffer): Directory | undefined {
  const tiff = exif.subarray(0, PREFIX.length).equals(PREFIX) ? exif.subarray(PREFIX.length) : exif;
  const order = tiff.toString("latin1", 0, 2);
  if (tiff.length < 8 || (order !== "II" && order !== "MM")) return undefined;
  const uint16 = (at: number): number => (order === "II" ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at));
  const uint32 = (at: number): number => (order === "II" ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at));
  const start = uint32(4);
  if (start + 2 > tiff.length) return undefined;
  const entries: Entry[] = [];
  for (let i = 0; i < uint16(start); i++) {
    const at = start + 2 + i * 12;
    if (at + 12 > tiff.length) return undefined;
    entries.push({ tag: uint16(at), type: uint16(at + 2), count: uint32(at + 4), at: at + 8 });
  }
  return { tiff, entries, uint16, uint32 };
}

/** How the picture is to be turned: 1 to 8, where 1 is not at all. */
export function orientationOf(exif: Buffer): number {
  const directory = firstDirectory(exif);
  const entry = directory?.entries.find(({ tag }) => tag === ORIENTATION);
  return directory === undefined || entry === undefined ? 1 : directory.uint16(entry.at);
}

/** The text of the copyright tag. */
export function copyrightOf(exif: Buffer | undefined): string | undefined {
  const directory = exif && firstDirectory(exif);
  const entry = directory?.entries.find(({ tag, type }) => tag === COPYRIGHT && type === ASCII);
  if (directory === undefined || entry === undefined) return undefined;
  const at = entry.count <= 4 ? entry.at : directory.uint32(entry.at);
  const text = directory.tiff.toString("utf8", at, at + entry.count).replace(/\0[\s\S]*$/, "");
  return text === "" ? undefined : text;
}

/** The JPEG with the EXIF data of another, whose orientation its pixels have taken up. What does not fit is left out. */
export function withExif(jpeg: Buffer, exif: Buffer): Buffer {
  const copy = Buffer.from(exif);
  const directory = firstDirectory(copy);
  if (directory === undefined || directory.tiff.length + PREFIX.length + 2 > SEGMENT_MAX_BYTES) return jpeg;
  const { tiff, entries } = directory;
  const orientation = entries.find(({ tag }) => tag === ORIENTATION);
  // One of two bytes, in either order; the other half of the field is unused.
  if (orientation !== undefined) tiff.set(tiff.toString("latin1", 0, 2) === "II" ? [1, 0] : [0, 1], orientation.at);
  const head = Buffer.from([0xff, 0xe1, 0, 0]);
  head.writeUInt16BE(tiff.length + PREFIX.length + 2, 2);
  return Buffer.concat([jpeg.subarray(0, 2), head, PREFIX, tiff, jpeg.subarray(2)]);
}
