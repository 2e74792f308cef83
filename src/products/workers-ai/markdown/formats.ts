/** The kinds of files that become Markdown, and how a file's kind is told: by its content where that says it, by its name, by its type. */

export const FORMATS = {
  pdf: { mimeType: "application/pdf", extensions: ["pdf"] },
  html: { mimeType: "text/html", extensions: ["html", "htm"] },
  xml: { mimeType: "application/xml", extensions: ["xml"] },
  csv: { mimeType: "text/csv", extensions: ["csv"] },
  docx: { mimeType: "application/vnd.openxmlformats-officedocument.wordprocessingml.document", extensions: ["docx"] },
  xlsx: { mimeType: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", extensions: ["xlsx"] },
  xlsm: { mimeType: "application/vnd.ms-excel.sheet.macroenabled.12", extensions: ["xlsm"] },
  odt: { mimeType: "application/vnd.oasis.opendocument.text", extensions: ["odt"] },
  ods: { mimeType: "application/vnd.oasis.opendocument.spreadsheet", extensions: ["ods"] },
  svg: { mimeType: "image/svg+xml", extensions: ["svg"] },
  jpeg: { mimeType: "image/jpeg", extensions: ["jpeg", "jpg"] },
  png: { mimeType: "image/png", extensions: ["png"] },
  webp: { mimeType: "image/webp", extensions: ["webp"] },
} as const;

export type Format = keyof typeof FORMATS;

export const isImage = (format: Format): boolean => FORMATS[format].mimeType.startsWith("image/");

/** As the API lists them. */
export const supported: readonly { readonly extension: string; readonly mimeType: string }[] = Object.values(FORMATS).flatMap(
  ({ extensions, mimeType }) => extensions.map((extension) => ({ extension: `.${extension}`, mimeType })),
);

const entries = Object.entries(FORMATS) as [Format, (typeof FORMATS)[Format]][];
const OFFICE: readonly Format[] = ["docx", "xlsx", "xlsm", "odt", "ods"];

/** Undefined for a file of another kind. What the caller says the type is comes last: a Blob is often said to be bytes alone. */
export function formatOf(name: string, mimeType: string, bytes: Uint8Array): Format | undefined {
  const extension = /\.([^./\\]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
  const named = entries.find(([, { extensions }]) => (extensions as readonly string[]).includes(extension))?.[0];
  const typed = entries.find(([, format]) => format.mimeType === mimeType.split(";")[0]?.trim().toLowerCase())?.[0];
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 1024)).toString("latin1");
  if (head.includes("%PDF-")) return "pdf";
  if (head.startsWith("\x89PNG")) return "png";
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") return "webp";
  // An archive: which document it is, only its name or type says.
  if (head.startsWith("PK\x03\x04")) return [named, typed].find((format) => format !== undefined && OFFICE.includes(format));
  if (named === undefined && typed === undefined && /^\s*(<!doctype html|<html[\s>])/i.test(head)) return "html";
  const said = named ?? typed;
  return said !== undefined && (OFFICE.includes(said) || said === "pdf") ? undefined : said;
}
