/** The segments of a JPEG file: what can be taken out of it without touching its picture. Pure. */
import { orientationOf } from "./exif.ts";

const START_OF_IMAGE = 0xd8;
const START_OF_SCAN = 0xda;
const APP0 = 0xe0;
const APP15 = 0xef;
const COMMENT = 0xfe;
/** JFIF, the colour profile, and Adobe's mark that says how colours are coded: without them the picture looks different. */
const NEEDED: ReadonlySet<number> = new Set([APP0, 0xe2, 0xee]);
const EXIF = 0xe1;

/** The file without metadata; undefined when EXIF turns the picture, or the file is not as it should be. */
export function withoutMetadata(jpeg: Buffer): Buffer | undefined {
  if (jpeg[0] !== 0xff || jpeg[1] !== START_OF_IMAGE) return undefined;
  const kept = [jpeg.subarray(0, 2)];
  for (let at = 2; at + 4 <= jpeg.length; ) {
    const marker = jpeg[at + 1] as number;
    if (jpeg[at] !== 0xff || marker < 0xc0) return undefined;
    if (marker === START_OF_SCAN) return Buffer.concat([...kept, jpeg.subarray(at)]);
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    const isMetadata = (marker >= APP0 && marker <= APP15 && !NEEDED.has(marker)) || marker === COMMENT;
    if (marker === EXIF && orientationOf(jpeg.subarray(at + 4, end)) > 1) return undefined;
    if (!isMetadata) kept.push(jpeg.subarray(at, end));
    at = end;
  }
  return undefined;
}
