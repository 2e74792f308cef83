/** XML of office documents as a tree of elements in their order. External entities are not followed. */
import { XMLParser } from "fast-xml-parser";

export interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly (Element | string)[];
}

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: "",
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
});

type Node = { readonly ":@"?: Record<string, string> } & Record<string, unknown>;

export function xmlTree(text: string): Element {
  return { name: "", attributes: {}, children: childrenOf(parser.parse(text) as Node[]) };
}

function childrenOf(nodes: readonly Node[]): (Element | string)[] {
  return nodes.flatMap((node): (Element | string)[] => {
    const name = Object.keys(node).find((key) => key !== ":@");
    if (name === undefined || name.startsWith("?")) return [];
    if (name === "#text") return [String(node[name])];
    return [{ name, attributes: node[":@"] ?? {}, children: childrenOf(node[name] as Node[]) }];
  });
}

/** Elements of the name below, in their order; those inside one that is found are not looked for. */
export function* elements(parent: Element, name: string): Generator<Element> {
  for (const child of parent.children) {
    if (typeof child === "string") continue;
    if (child.name === name) yield child;
    else yield* elements(child, name);
  }
}

export const textIn = (element: Element): string =>
  element.children.map((child) => (typeof child === "string" ? child : textIn(child))).join("");
