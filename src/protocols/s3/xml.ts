/**
 * Writing and reading the XML of S3. Written documents begin with a declaration and carry the S3 namespace on
 * the top element, except `Error` (docs/r2/platform/release-notes 2022-07-13 and 2022-07-19). Reading refuses
 * document types, so that a body cannot define entities.
 */
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { malformedXml, type S3Failure } from "./errors.ts";

export const XML_TYPE = "application/xml";

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>';
const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

/** Content of an element: text, or child elements in order. Children with an undefined value are left out. */
export type XmlContent = string | number | boolean | readonly XmlElement[];
export type XmlElement = readonly [name: string, content: XmlContent | undefined];

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** Text of an element. Control characters become references: raw ones are lost or refused by parsers. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\p{Cc}\ufffe\uffff]/gu, (char) => ENTITIES[char] ?? `&#x${char.charCodeAt(0).toString(16).toUpperCase()};`);
}

function write([name, content]: XmlElement): string {
  if (content === undefined) return "";
  const inner = Array.isArray(content) ? (content as readonly XmlElement[]).map(write).join("") : escapeXml(String(content));
  return inner === "" ? `<${name}/>` : `<${name}>${inner}</${name}>`;
}

/** A document whose top element carries the S3 namespace. */
export function xmlDocument(root: string, content: XmlContent): string {
  const body = write([root, content]);
  return `${DECLARATION}<${root} xmlns="${NAMESPACE}"${body.slice(root.length + 1)}`;
}

export function xmlError(failure: S3Failure): string {
  const details = Object.entries(failure.details ?? {});
  return DECLARATION + write(["Error", [["Code", failure.code], ["Message", failure.message], ...details]]);
}

/** An element as read: text, or children by name (a list when the name repeats). */
export type XmlNode = string | { readonly [name: string]: XmlNode | readonly XmlNode[] };

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  removeNSPrefix: true,
  parseTagValue: false,
  // Spaces at the ends of a key are part of the key.
  trimValues: false,
  htmlEntities: true,
  processEntities: true,
});

/** The top element `root` of a document. Throws MalformedXML, also when the top element has another name. */
export function parseXml(text: string, root: string): XmlNode {
  if (text.includes("<!DOCTYPE") || XMLValidator.validate(text) !== true) throw malformedXml();
  let parsed: Record<string, XmlNode>;
  try {
    parsed = parser.parse(text) as Record<string, XmlNode>;
  } catch {
    // The parser's own limits (depth, entities) are the client's mistake like any other malformation.
    throw malformedXml();
  }
  const node = parsed[root];
  if (node === undefined || Array.isArray(node)) throw malformedXml();
  return node;
}

/** Children of that name; none for a text. */
export function children(node: XmlNode, name: string): readonly XmlNode[] {
  if (typeof node === "string") return [];
  const found = Object.hasOwn(node, name) ? node[name] : undefined;
  if (found === undefined) return [];
  return Array.isArray(found) ? (found as readonly XmlNode[]) : [found as XmlNode];
}

/** Text of the only child of that name, or undefined. Throws MalformedXML when it repeats or has children. */
export function childText(node: XmlNode, name: string): string | undefined {
  const [first, second] = children(node, name);
  if (first === undefined) return undefined;
  if (second !== undefined || typeof first !== "string") throw malformedXml();
  return first;
}

/** Throws MalformedXML when the element has a child that is not among `known`. */
export function onlyChildren(node: XmlNode, known: readonly string[]): void {
  if (typeof node === "string") return;
  for (const name of Object.keys(node)) if (name !== "#text" && !known.includes(name)) throw malformedXml();
}
