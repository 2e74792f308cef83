/**
 * The forms that the official SDKs make of an upload: instead of one JSON part `metadata` they send a field for each value,
 * `metadata[bindings][][type]`, all of them text, and files as `files[index.js]`. Arrays of objects are written one after
 * another: a key that the last element already has begins the next one.
 */

type Tree = { [key: string]: Node };
type Node = string | Node[] | Tree;

const STEP = /^\[([^\]]*)\]/;
/** No metadata nests deeper. */
const DEPTH_MAX = 20;

/** The steps behind `prefix` in a field's name, or undefined when it is another field. */
export function fieldPath(name: string, prefix: string): string[] | undefined {
  if (!name.startsWith(`${prefix}[`)) return undefined;
  const steps: string[] = [];
  for (let rest = name.slice(prefix.length); rest !== ""; ) {
    const step = STEP.exec(rest);
    if (step === null || steps.length >= DEPTH_MAX) return undefined;
    steps.push(step[1] as string);
    rest = rest.slice(step[0].length);
  }
  return steps;
}

/** The object that fields with bracketed names describe. */
export function objectOf(fields: Iterable<readonly [path: readonly string[], value: string]>): Record<string, unknown> {
  const root: Tree = Object.create(null) as Tree;
  for (const [path, value] of fields) put(root, path, value);
  return root;
}

function put(tree: Tree, path: readonly string[], value: string): void {
  const [key, next, ...rest] = path as [string, string | undefined, ...string[]];
  if (next === undefined) {
    tree[key] = value;
    return;
  }
  if (next !== "") {
    const child = tree[key];
    const inner = isTree(child) ? child : (Object.create(null) as Tree);
    tree[key] = inner;
    put(inner, [next, ...rest], value);
    return;
  }
  const child = tree[key];
  const items: Node[] = Array.isArray(child) ? child : [];
  tree[key] = items;
  if (rest.length === 0) {
    items.push(value);
    return;
  }
  let last = items.at(-1);
  if (!isTree(last) || has(last, rest)) {
    last = Object.create(null) as Tree;
    items.push(last);
  }
  put(last as Tree, rest, value);
}

const isTree = (node: Node | undefined): node is Tree => typeof node === "object" && !Array.isArray(node);

/** Whether the element has this very value already; a list in it goes on. */
function has(tree: Tree, path: readonly string[]): boolean {
  const [key, ...rest] = path as [string, ...string[]];
  const child = tree[key];
  if (child === undefined) return false;
  if (rest.length === 0) return true;
  if (rest[0] === "") return false;
  return isTree(child) ? has(child, rest) : true;
}
