/**
 * GraphQL documents as far as clients of an analytics API write them: queries with variables, arguments, aliases and
 * fragments (specification of October 2021). Text to syntax tree; knows no schema. Directives, subscriptions and
 * mutations are refused by name.
 */
export type Value =
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "enum"; readonly name: string }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "list"; readonly items: readonly Value[] }
  | { readonly kind: "object"; readonly fields: Readonly<Record<string, Value>> };

export interface Field {
  readonly name: string;
  /** The alias, or the name: the key in the answer. */
  readonly key: string;
  readonly arguments: Readonly<Record<string, Value>>;
  /** Empty for a leaf. */
  readonly selection: readonly Field[];
}

export interface Operation {
  readonly name: string | undefined;
  /** Default values of variables. */
  readonly defaults: Readonly<Record<string, Value>>;
  readonly selection: readonly Field[];
}

export class GraphqlSyntaxError extends Error {}

type Token = { readonly kind: "punctuator" | "name" | "number" | "string" | "end"; readonly text: string; readonly at: number };

const TOKEN =
  /[\s,\ufeff]+|#[^\n\r]*|(\.\.\.|[!$&()=:@[\]{|}])|([_A-Za-z]\w*)|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|"""([\s\S]*?)"""|("(?:[^"\\\n\r]|\\.)*")/y;
const DEPTH_MAX = 50;

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new GraphqlSyntaxError(`unexpected character "${text[at]}" at offset ${at}`);
    const [, punctuator, name, number, block, string] = match;
    if (punctuator !== undefined) tokens.push({ kind: "punctuator", text: punctuator, at });
    else if (name !== undefined) tokens.push({ kind: "name", text: name, at });
    else if (number !== undefined) tokens.push({ kind: "number", text: number, at });
    else if (block !== undefined) tokens.push({ kind: "string", text: block, at });
    else if (string !== undefined) tokens.push({ kind: "string", text: unquote(string, at), at });
  }
  tokens.push({ kind: "end", text: "the end", at: text.length });
  return tokens;
}

/** GraphQL's string escapes are JSON's. */
function unquote(quoted: string, at: number): string {
  try {
    return JSON.parse(quoted) as string;
  } catch (cause) {
    throw new GraphqlSyntaxError(`bad escape in the string at offset ${at}`, { cause });
  }
}

type Selected = Field | { readonly spread: string };

/** The document's operations, with fragments filled in. Throws `GraphqlSyntaxError`. */
export function parseDocument(text: string): Operation[] {
  const tokens = tokenize(text);
  let position = 0;
  const peek = (): Token => tokens[position] as Token;
  const next = (): Token => tokens[position++] as Token;
  const unexpected = (token: Token): GraphqlSyntaxError => new GraphqlSyntaxError(`unexpected ${token.text} at offset ${token.at}`);
  const is = (text: string): boolean => peek().kind === "punctuator" && peek().text === text;
  const skip = (text: string): boolean => is(text) && position++ >= 0;
  const expect = (text: string): void => {
    if (!skip(text)) throw unexpected(peek());
  };
  const name = (): string => {
    const token = next();
    if (token.kind !== "name") throw unexpected(token);
    return token.text;
  };

  function value(depth = 0): Value {
    if (depth > DEPTH_MAX) throw new GraphqlSyntaxError("values are nested too deeply");
    if (skip("$")) return { kind: "variable", name: name() };
    if (skip("[")) {
      const items: Value[] = [];
      while (!skip("]")) items.push(value(depth + 1));
      return { kind: "list", items };
    }
    if (skip("{")) return { kind: "object", fields: pairs("}", depth + 1) };
    const token = next();
    if (token.kind === "string") return { kind: "literal", value: token.text };
    if (token.kind === "number") return { kind: "literal", value: Number(token.text) };
    if (token.kind !== "name") throw unexpected(token);
    if (token.text === "true" || token.text === "false") return { kind: "literal", value: token.text === "true" };
    return token.text === "null" ? { kind: "literal", value: null } : { kind: "enum", name: token.text };
  }

  function pairs(close: string, depth = 0): Record<string, Value> {
    const fields: Record<string, Value> = Object.create(null) as Record<string, Value>;
    while (!skip(close)) {
      const key = name();
      expect(":");
      fields[key] = value(depth);
    }
    return fields;
  }

  function noDirectives(): void {
    if (is("@")) throw new GraphqlSyntaxError(`directives are not supported (offset ${peek().at})`);
  }

  function selectionSet(depth = 0): Selected[] {
    if (depth > DEPTH_MAX) throw new GraphqlSyntaxError("selections are nested too deeply");
    const selected: Selected[] = [];
    while (!skip("}")) {
      if (skip("...")) {
        if (peek().text === "on") position += 2;
        else if (peek().kind === "name") {
          selected.push({ spread: name() });
          noDirectives();
          continue;
        }
        noDirectives();
        expect("{");
        selected.push(...selectionSet(depth + 1));
        continue;
      }
      const first = name();
      const own = skip(":") ? name() : first;
      const args = skip("(") ? pairs(")") : {};
      noDirectives();
      const selection = skip("{") ? (selectionSet(depth + 1) as Field[]) : [];
      selected.push({ name: own, key: first, arguments: args, selection });
    }
    return selected;
  }

  function type(): void {
    if (skip("[")) {
      type();
      expect("]");
    } else name();
    skip("!");
  }

  function variables(): Record<string, Value> {
    const defaults: Record<string, Value> = {};
    while (!skip(")")) {
      expect("$");
      const variable = name();
      expect(":");
      type();
      if (skip("=")) defaults[variable] = value();
    }
    return defaults;
  }

  const operations: { name: string | undefined; defaults: Record<string, Value>; selection: Selected[] }[] = [];
  const fragments = new Map<string, Selected[]>();
  while (peek().kind !== "end") {
    if (skip("{")) {
      operations.push({ name: undefined, defaults: {}, selection: selectionSet() });
      continue;
    }
    const keyword = next();
    if (keyword.kind !== "name") throw unexpected(keyword);
    if (keyword.text === "fragment") {
      const fragment = name();
      if (name() !== "on") throw unexpected(keyword);
      name();
      noDirectives();
      expect("{");
      fragments.set(fragment, selectionSet());
    } else if (keyword.text === "query") {
      const named = peek().kind === "name" ? name() : undefined;
      const defaults = skip("(") ? variables() : {};
      noDirectives();
      expect("{");
      operations.push({ name: named, defaults, selection: selectionSet() });
    } else throw unexpected(keyword);
  }
  if (operations.length === 0) throw new GraphqlSyntaxError("the document has no query");

  let filled = 0;
  function fill(selection: readonly Selected[], open: readonly string[]): Field[] {
    return selection.flatMap((one) => {
      // A few nested fragments could ask for millions of fields.
      if (++filled > 10_000) throw new GraphqlSyntaxError("the query selects too many fields");
      if (!("spread" in one)) return [{ ...one, selection: fill(one.selection, open) }];
      const fragment = fragments.get(one.spread);
      if (fragment === undefined) throw new GraphqlSyntaxError(`unknown fragment "${one.spread}"`);
      if (open.includes(one.spread)) throw new GraphqlSyntaxError(`fragment "${one.spread}" contains itself`);
      return fill(fragment, [...open, one.spread]);
    });
  }
  return operations.map((operation) => ({ ...operation, selection: fill(operation.selection, []) }));
}
