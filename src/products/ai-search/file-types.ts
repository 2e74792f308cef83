/** What becomes of a file by its name (docs/ai-search/configuration/data-source/r2): text as it is, a document by conversion, or nothing. */

const TEXT: ReadonlySet<string> = new Set(
  (
    "txt rst log ini conf env properties gitignore editorconfig toml markdown md mdx tex latex sh bat ps1 sgml json yaml yml css js php " +
    "py rb java c cpp cxx h hpp go rs swift dart el"
  ).split(" "),
);

export type FileKind = "text" | "document";

/** `documents`: extensions with a dot that conversion takes. Undefined for a kind that is not indexed. */
export function fileKind(key: string, documents: ReadonlySet<string>): FileKind | undefined {
  const name = key.slice(key.lastIndexOf("/") + 1);
  const extension = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  if (!name.includes(".")) return undefined;
  if (TEXT.has(extension)) return "text";
  return documents.has(`.${extension}`) ? "document" : undefined;
}
