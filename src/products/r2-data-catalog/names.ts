/** Names of namespaces, tables and views: how they stand in URLs and rows, and the rules for new ones. */
import { catalogError } from "./errors.ts";

/** Levels of a namespace, top first: "a.b" is ["a", "b"]. */
export type NamespacePath = readonly string[];

export interface TableIdentifier {
  readonly namespace: NamespacePath;
  readonly name: string;
}

/** Between the levels, in URLs (as %1F) and in rows. */
export const LEVEL_SEPARATOR = "\u001f";

const DEPTH_MAX = 5;
const NAME_MAX_BYTES = 1024;
/** Of the first level, in any case (docs, "Limits"). */
const RESERVED = new Set(["system", "examples", "information_schema"]);

/** "a.b.c", for messages. */
export const dotted = (path: NamespacePath): string => path.join(".");

export const describe = ({ namespace, name }: TableIdentifier): string => `${dotted(namespace)}.${name}`;

export const pathKey = (path: NamespacePath): string => path.join(LEVEL_SEPARATOR);

export const parentKey = (path: NamespacePath): string => pathKey(path.slice(0, -1));

export const fromPathKey = (key: string): string[] => key.split(LEVEL_SEPARATOR);

/** One segment of a URL's path, decoded. Java clients write a space as "+", others as %20; a plus sign is %2B in both. */
export function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment.replaceAll("+", "%20"));
  } catch (cause) {
    throw catalogError("badRequest", `Cannot decode the path segment ${JSON.stringify(segment)}`, { cause });
  }
}

/** Throws `catalog.badRequest` when a new namespace must not have this name. */
export function checkNewNamespace(path: NamespacePath): void {
  if (path.length === 0) throw catalogError("badRequest", "A namespace must have at least one level");
  if (path.length > DEPTH_MAX) throw catalogError("badRequest", `A namespace can have at most ${DEPTH_MAX} levels: ${dotted(path)}`);
  for (const level of path) {
    checkNewName("namespace", level);
    if (level.includes(".")) throw catalogError("badRequest", `A namespace level must not contain a period: ${JSON.stringify(level)}`);
  }
  if (RESERVED.has((path[0] as string).toLowerCase())) throw catalogError("badRequest", `The namespace name ${path[0]} is reserved`);
}

/** Throws `catalog.badRequest` when a new table, view or level must not have this name. */
export function checkNewName(what: "namespace" | "table" | "view", name: string): void {
  if (name === "") throw catalogError("badRequest", `Empty ${what} names are not allowed`);
  if (Buffer.byteLength(name) > NAME_MAX_BYTES) throw catalogError("badRequest", `A ${what} name can have at most ${NAME_MAX_BYTES} bytes`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused; U+001F separates levels.
  if (/[\u0000-\u001f\u007f]/.test(name)) throw catalogError("badRequest", `A ${what} name must not contain control characters`);
}
