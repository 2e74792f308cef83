/**
 * Access to DuckDB's syntax tree with nothing left unseen: a walker takes a node's members one by one and then calls
 * `done`, which refuses the query if a member that it did not take says anything. A member that a newer DuckDB adds is
 * therefore refused, never ignored.
 */
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { invalidSql, unsupported } from "../errors.ts";

export type { SyntaxNode };

/** Nodes nested deeper than this are refused; a query written by a person has about ten levels. */
export const DEPTH_MAX = 200;

// Places in the text, and marks that carry no meaning of their own.
const MEANINGLESS = new Set(["query_location", "class", "type", "export_state", "is_operator", "delim_flipped"]);

export interface Members {
  node(name: string): SyntaxNode;
  optionalNode(name: string): SyntaxNode | undefined;
  nodes(name: string): SyntaxNode[];
  text(name: string): string;
  texts(name: string): string[];
  flag(name: string): boolean;
  /** Any value, taken as it is. */
  raw(name: string): unknown;
  /** Every other member must be empty: null, "", false, [] or a modifier without content. */
  done(): void;
}

export function members(of: SyntaxNode): Members {
  const seen = new Set<string>();
  const take = (name: string): unknown => {
    seen.add(name);
    return of[name];
  };
  return {
    node: (name) => asNode(take(name), name),
    optionalNode: (name) => {
      const value = take(name);
      return value === null || value === undefined ? undefined : asNode(value, name);
    },
    nodes: (name) => asList(take(name), name).map((value) => asNode(value, name)),
    text: (name) => asText(take(name), name),
    texts: (name) => asList(take(name), name).map((value) => asText(value, name)),
    flag: (name) => take(name) === true,
    raw: take,
    done() {
      for (const [name, value] of Object.entries(of))
        if (!seen.has(name) && !MEANINGLESS.has(name) && !isEmpty(value)) throw unsupported(describe(of, name));
    },
  };
}

/** "JOIN" of a table, "FUNCTION" of an expression: what a node is. */
export const nodeKind = (node: SyntaxNode): string => String(node.class ?? node.type ?? "unknown");

function describe(node: SyntaxNode, member: string): string {
  return `${member.replaceAll("_", " ")} in ${nodeKind(node).toLowerCase().replaceAll("_", " ")}`;
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== "object") return false;
  // { "type": "ORDER_MODIFIER", "orders": [] } and { "map": [] }.
  return Object.entries(value).every(([name, inner]) => name === "type" || isEmpty(inner));
}

// A shape that this code does not know is not the caller's mistake in a narrow sense, but it is never run either.
function asNode(value: unknown, name: string): SyntaxNode {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidSql(`cannot read ${name}`);
  return value as SyntaxNode;
}

function asList(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw invalidSql(`cannot read ${name}`);
  return value;
}

function asText(value: unknown, name: string): string {
  if (typeof value !== "string") throw invalidSql(`cannot read ${name}`);
  return value;
}
