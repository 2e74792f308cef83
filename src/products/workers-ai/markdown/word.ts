/** Word documents (.docx) as Markdown. Pictures in them are left out. */
import { zipSync } from "fflate";
import mammoth from "mammoth";
import { unpack } from "./archive.ts";
import { fragmentMarkdown } from "./html.ts";

/** The archive is unpacked here, within bounds, and handed on as one that nothing is packed in. */
export async function wordMarkdown(bytes: Uint8Array, maxBytes: number): Promise<string> {
  const files = unpack(bytes, maxBytes, (name) => !name.startsWith("word/media/"));
  const buffer = Buffer.from(zipSync(files, { level: 0 }));
  const convertImage = mammoth.images.imgElement(async () => ({ src: "data:," }));
  return fragmentMarkdown((await mammoth.convertToHtml({ buffer }, { convertImage })).value);
}
