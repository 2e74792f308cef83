/** One document converted, in the thread that is made for it (`thread.ts`): whatever a document does, it ends with that thread. */
import type { Format } from "./formats.ts";
import type { HtmlOptions } from "./html.ts";

export interface DocumentOptions {
  readonly html?: HtmlOptions | undefined;
  readonly pdf?: { readonly metadata?: boolean | undefined } | undefined;
}

export interface Conversion {
  readonly format: Format;
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly options: DocumentOptions;
  /** Of a document when it is unpacked. */
  readonly unpackedMaxBytes: number;
}

export async function markdownOf({ format, name, bytes, options, unpackedMaxBytes }: Conversion): Promise<string> {
  // Each kind's library is loaded where it is needed: a thread lives for one document.
  switch (format) {
    case "html":
      return (await import("./html.ts")).pageMarkdown(decoded(bytes), options.html ?? {});
    case "pdf":
      return (await import("./pdf.ts")).pdfMarkdown(bytes, name, options.pdf ?? {});
    case "csv":
      return (await import("./table.ts")).csvMarkdown(decoded(bytes));
    case "xml":
      return `\`\`\`xml\n${decoded(bytes).trim()}\n\`\`\``;
    case "docx":
      return (await import("./word.ts")).wordMarkdown(bytes, unpackedMaxBytes);
    case "odt":
      return (await import("./open-document.ts")).openDocumentMarkdown(bytes, unpackedMaxBytes);
    case "ods":
      return (await import("./open-document.ts")).openSpreadsheetMarkdown(bytes, name, unpackedMaxBytes);
    case "xlsx":
    case "xlsm":
      return (await import("./spreadsheet.ts")).workbookMarkdown(bytes, name, unpackedMaxBytes);
    default:
      throw new Error(`${format} is no document`);
  }
}

const decoded = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
