/**
 * Names that a Python main module may export, read from its source: ES modules say what they export before they run, and
 * what the classes are is learnt by running it. Nothing runs here.
 */

/** Every class at the module's top level and every name that it imports from elsewhere. */
export function exportCandidates(source: string): string[] {
  const names = new Set<string>();
  for (const [, name] of source.matchAll(/^class[ \t]+(\w+)/gm)) names.add(name as string);
  for (const [, list, lines] of source.matchAll(/^from[ \t]+[\w.]+[ \t]+import[ \t]+(?:\(([^)]*)\)|([^(\n]*))/gm)) {
    for (const item of (list ?? lines ?? "").replace(/#.*/g, "").split(",")) {
      const name = /^\s*\w+(?:\s+as\s+(\w+))?\s*$/.exec(item);
      if (name !== null) names.add(name[1] ?? item.trim());
    }
  }
  names.delete("Default");
  return [...names];
}
