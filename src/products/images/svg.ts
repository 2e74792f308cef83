/**
 * SVG made safe to show: only elements and attributes that draw stay. Scripts, event handlers, links to other documents and
 * references to anything outside the file go, as do document types and entities (docs: Images, Sanitized SVGs). What comes
 * out is written anew from the parsed tree, so that no peculiarity of a parser gets through; it is XML, whatever came in.
 */
import { XMLParser } from "fast-xml-parser";
import { ImageError } from "./errors.ts";

const NAMES = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/));

const ELEMENTS = NAMES(
  `svg g defs symbol use switch a title desc view style path rect circle ellipse line polyline polygon text tspan textPath tref
   image marker linearGradient radialGradient stop pattern clipPath mask filter feBlend feColorMatrix feComponentTransfer
   feComposite feConvolveMatrix feDiffuseLighting feDisplacementMap feDistantLight feDropShadow feFlood feFuncA feFuncB
   feFuncG feFuncR feGaussianBlur feImage feMerge feMergeNode feMorphology feOffset fePointLight feSpecularLighting
   feSpotLight feTile feTurbulence animate animateMotion animateTransform set mpath`,
);
/** Attributes whose name does not say that they are harmless, and that are: everything else matches `ATTRIBUTE`. */
const PREFIXED = NAMES("xlink:href xml:space xml:lang");
const ATTRIBUTE = /^(?!on)[a-z][a-z0-9-]*$/i;
/** Elements that change attributes, which must not be links. */
const ANIMATIONS = NAMES("animate animateMotion animateTransform set");
const IMAGES = NAMES("image feImage");

const LOCAL = /^#[^\s"'<>]+$/;
const EMBEDDED = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+$/;
/** Parts of CSS, once references into the file are out of it, that could lead elsewhere or hide what does. */
const CSS_DANGERS =
  /url\s*\(|@import|@font-face|@namespace|image(?:-set)?\s*\(|src\s*[(:]|expression|javascript:|-moz-binding|behavior\s*:|\\|<|\/\/|\/\*/i;
const CSS_LOCAL = /url\(\s*(["']?)#[^\s"'()<>\\]+\1\s*\)/gi;

const DEPTH_MAX = 256;
const ATTRIBUTES = ":@";
const TEXT = "#text";

type Node = Readonly<Record<string, unknown>>;

/** Throws 9412 for what is no XML or no SVG. */
export function sanitized(bytes: Buffer): Buffer {
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: "",
    processEntities: false,
    parseTagValue: false,
    parseAttributeValue: false,
    trimValues: false,
    maxNestedTags: DEPTH_MAX,
  });
  let nodes: readonly Node[];
  try {
    nodes = parser.parse(bytes.toString("utf8").replace(/<!DOCTYPE\s[^[>]*(?:\[[\s\S]*?\]\s*)?>/i, "")) as Node[];
  } catch (cause) {
    throw new ImageError(9412, "the SVG image is no XML", { cause });
  }
  const root = nodes.find((node) => localName(nameOf(node) ?? "") === "svg");
  if (root === undefined) throw new ImageError(9412, "the SVG image has no svg element");
  return Buffer.from(element(root, "svg", 0));
}

const nameOf = (node: Node): string | undefined => Object.keys(node).find((key) => key !== ATTRIBUTES);
/** A prefix may stand for SVG's namespace; of other vocabularies nothing is shown. */
const localName = (name: string): string => name.replace(/^svg:/, "");

function element(node: Node, name: string, depth: number): string {
  const given = (node[ATTRIBUTES] ?? {}) as Readonly<Record<string, string>>;
  const attributes = Object.entries(given).flatMap(([attribute, value]) => kept(name, attribute, decoded(String(value))));
  const namespaces = depth === 0 ? ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"' : "";
  const children = node[nameOf(node) as string] as readonly Node[];
  return `<${name}${namespaces}${attributes.join("")}>${contentOf(children, name, depth)}</${name}>`;
}

function contentOf(children: readonly Node[], parent: string, depth: number): string {
  if (depth >= DEPTH_MAX) throw new ImageError(9412, "the SVG image is nested too deeply");
  if (parent === "style") {
    const css = decoded(children.map((child) => String(child[TEXT] ?? "")).join(""));
    return isHarmlessCss(css) ? escaped(css) : "";
  }
  let text = "";
  for (const child of children) {
    const full = nameOf(child);
    if (full === undefined) continue;
    if (full === TEXT) text += escaped(decoded(String(child[TEXT])));
    const name = localName(full);
    if (!ELEMENTS.has(name) || (ANIMATIONS.has(name) && animatesLinks(child))) continue;
    text += element(child, name, depth + 1);
  }
  return text;
}

function animatesLinks(node: Node): boolean {
  const { attributeName = "" } = (node[ATTRIBUTES] ?? {}) as Readonly<Record<string, string>>;
  return /href|^\s*on/i.test(decoded(String(attributeName)));
}

function kept(element: string, name: string, value: string): string[] {
  if (name === "href" || name === "xlink:href") {
    const allowed = LOCAL.test(value) || (IMAGES.has(element) && EMBEDDED.test(value));
    return allowed && element !== "a" ? [` ${name}="${escaped(value)}"`] : [];
  }
  if (!PREFIXED.has(name) && (!ATTRIBUTE.test(name) || name === "xmlns" || name === "src")) return [];
  if (name === "style" ? !isHarmlessCss(value) : !isHarmlessValue(value)) return [];
  return [` ${name}="${escaped(value)}"`];
}

const isHarmlessCss = (css: string): boolean => !CSS_DANGERS.test(css.replace(CSS_LOCAL, "")) && !css.includes("\0");
/** Presentation attributes are CSS, too: `fill="url(…)"`. */
const isHarmlessValue = (value: string): boolean => {
  const rest = value.replace(CSS_LOCAL, "");
  return !/url\s*\(|(?:java|vb)script:|data:|\\|[a-z]+:\/\//i.test(rest) && !rest.includes("\0");
};

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Text as it is meant: an entity that XML does not define itself is nothing. */
const decoded = (text: string): string =>
  text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([A-Za-z][\w.-]*));/gi, (_whole, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? "";
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code === 9 || code === 10 || code === 13 || (code >= 32 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff))
      ? String.fromCodePoint(code)
      : "";
  });

const escaped = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: XML has none of them
    .replace(/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
