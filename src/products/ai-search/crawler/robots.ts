/** robots.txt as RFC 9309 has it: the groups of our names, else that of everybody; the longest rule that fits a path decides. */

/** The crawler's name, and the one that it had before, which is still heard (docs/ai-search/configuration/data-source/website). */
export const USER_AGENT = "Cloudflare-AI-Search";
const NAMES = ["cloudflare-ai-search", "cloudflare-autorag"];

/** Of the file, more is not looked at; RFC 9309 wants 500 KiB at least. */
export const ROBOTS_MAX_BYTES = 512 * 1024;
const RULES_MAX = 10_000;

export interface Robots {
  /** As they stand there, which may be without the site's address. */
  readonly sitemaps: readonly string[];
  /** `path` with its query. */
  allows(path: string): boolean;
}

interface Rule {
  readonly allow: boolean;
  readonly path: string;
}

export const EVERYTHING: Robots = { sitemaps: [], allows: () => true };

export function parseRobots(text: string): Robots {
  const groups: { agents: string[]; rules: Rule[] }[] = [];
  const sitemaps: string[] = [];
  let open: { agents: string[]; rules: Rule[] } | undefined;
  for (const line of text.split(/\r\n?|\n/).slice(0, RULES_MAX)) {
    const [, name = "", value = ""] = /^\s*([a-z-]+)\s*:\s*([^#]*?)\s*(?:#.*)?$/i.exec(line) ?? [];
    switch (name.toLowerCase()) {
      case "sitemap":
        if (value !== "") sitemaps.push(value);
        break;
      case "user-agent":
        // Names in a row share the rules that follow.
        if (open === undefined || open.rules.length > 0) {
          open = { agents: [], rules: [] };
          groups.push(open);
        }
        open.agents.push(value.toLowerCase());
        break;
      case "allow":
      case "disallow":
        if (value !== "") open?.rules.push({ allow: name.toLowerCase() === "allow", path: value });
        else if (open !== undefined && open.rules.length === 0) open.rules.push({ allow: true, path: "/" });
    }
  }
  const ours = groups.filter(({ agents }) => agents.some((agent) => NAMES.includes(agent)));
  const counted = ours.length > 0 ? ours : groups.filter(({ agents }) => agents.includes("*"));
  const rules = counted.flatMap((group) => group.rules).sort((a, b) => b.path.length - a.path.length || Number(b.allow) - Number(a.allow));
  return { sitemaps, allows: (path) => rules.find((rule) => fits(rule.path, path))?.allow ?? true };
}

/** `*` stands for anything, `$` at the end for the path's end. In time by both lengths, whatever the rule. */
function fits(rule: string, path: string): boolean {
  const whole = rule.endsWith("$");
  const [first = "", ...others] = (whole ? rule.slice(0, -1) : rule).split("*");
  if (!path.startsWith(first)) return false;
  let at = first.length;
  for (const [n, part] of others.entries()) {
    if (whole && n === others.length - 1) return path.length - part.length >= at && path.endsWith(part);
    const found = path.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return !whole || at === path.length;
}
