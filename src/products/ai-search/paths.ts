/**
 * Path filters (docs/ai-search/configuration/path-filtering): which keys and URLs are indexed. `*` stands for anything but "/",
 * `**` for anything; whole paths, case counts. Matching takes time by both lengths, whatever the pattern: patterns are users'.
 */

export interface PathRules {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** Why a path is left out, in the documented words; undefined when it is indexed. */
export function skipReason(rules: PathRules, path: string): string | undefined {
  const excluded = rules.exclude?.find((pattern) => matchesPath(pattern, path));
  if (excluded !== undefined) return `Skipped by rule: ${excluded}`;
  const includes = rules.include ?? [];
  return includes.length === 0 || includes.some((pattern) => matchesPath(pattern, path)) ? undefined : "Skipped by Include Rules";
}

/** Keys of buckets have no "/" before them, documented patterns do: a pattern may be for either spelling. */
export function matchesPath(pattern: string, path: string): boolean {
  const isUrl = /^https?:\/\//.test(path);
  return matchesWhole(pattern, path) || (!isUrl && matchesWhole(pattern, `/${path}`));
}

type Part = { readonly any: "within" | "across" | "directories" } | { readonly text: string };

function partsOf(pattern: string): Part[] {
  const parts: Part[] = [];
  let text = "";
  const flush = (): void => {
    if (text !== "") parts.push({ text });
    text = "";
  };
  for (let at = 0; at < pattern.length; ) {
    const atStart = at === 0 || pattern[at - 1] === "/";
    if (pattern.startsWith("**/", at) && atStart) {
      // Any directories, or none.
      flush();
      parts.push({ any: "directories" });
      at += 3;
    } else if (pattern[at] === "*") {
      flush();
      let end = at;
      while (pattern[end] === "*") end++;
      parts.push({ any: end - at > 1 ? "across" : "within" });
      at = end;
    } else text += pattern[at++];
  }
  flush();
  return parts;
}

function matchesWhole(pattern: string, path: string): boolean {
  /** Whether what is matched so far may end at each place of the path. */
  let ends = new Uint8Array(path.length + 1);
  ends[0] = 1;
  for (const part of partsOf(pattern)) {
    const next = new Uint8Array(path.length + 1);
    if ("text" in part) {
      for (let at = 0; at + part.text.length <= path.length; at++)
        if (ends[at] === 1 && path.startsWith(part.text, at)) next[at + part.text.length] = 1;
    } else {
      let open = false;
      for (let at = 0; at <= path.length; at++) {
        if (part.any === "within" && at > 0 && path[at - 1] === "/") open = false;
        if (part.any === "directories") {
          if (ends[at] === 1 || (open && path[at - 1] === "/")) next[at] = 1;
          open ||= ends[at] === 1;
        } else {
          open ||= ends[at] === 1;
          if (open) next[at] = 1;
        }
      }
    }
    ends = next;
  }
  return ends[path.length] === 1;
}
