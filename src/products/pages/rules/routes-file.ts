/**
 * The file `_routes.json`: which paths invoke the Functions of a deployment. An exclusion wins over every inclusion; a star
 * takes any characters, slashes too. https://developers.cloudflare.com/pages/functions/routing/#create-a-_routesjson-file
 */
import { z } from "zod";

export interface FunctionRoutes {
  invokes(path: string): boolean;
}

/** Documented limits. */
const RULES_MAX = 100;
const RULE_MAX = 100;

const rules = z.array(z.string().max(RULE_MAX).startsWith("/"));
const schema = z
  .object({ version: z.literal(1), include: rules.min(1), exclude: rules.default([]) })
  .refine(({ include, exclude }) => include.length + exclude.length <= RULES_MAX, `at most ${RULES_MAX} rules`);

/** Throws a `ZodError` or `SyntaxError` for a file that the documentation refuses. */
export function parseRoutes(text: string): FunctionRoutes {
  const { include, exclude } = schema.parse(JSON.parse(text));
  const included = include.map(matcher);
  const excluded = exclude.map(matcher);
  return { invokes: (path) => !excluded.some((matches) => matches(path)) && included.some((matches) => matches(path)) };
}

/** A rule means its path with and without a slash at the end; `/api/*` means `/api`, too. */
function matcher(rule: string): (path: string) => boolean {
  if (rule === "/" || rule === "/*") return glob(rule);
  const bare = rule.replace(/\/\*?$/, "");
  const both = rule.endsWith("/*") ? [bare, rule] : rule.endsWith("*") ? [rule] : [bare, `${bare}/`];
  const globs = both.map(glob);
  return (path) => globs.some((matches) => matches(path));
}

/** By the pieces between stars, each at its first place: where that finds nothing, no other choice does. */
function glob(rule: string): (path: string) => boolean {
  const [first = "", ...rest] = rule.split("*");
  if (rest.length === 0) return (path) => path === rule;
  const last = rest.pop() as string;
  return (path) => {
    if (!path.startsWith(first) || !path.endsWith(last)) return false;
    let at = first.length;
    for (const piece of rest) {
      const found = path.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return at <= path.length - last.length;
  };
}
