/**
 * JSONPath (RFC 9535) for what DuckDB's own paths cannot say: filters, slices, several selectors. In JavaScript, on the main
 * thread, so paths are bounded: no regular expressions, at most one descent, filters that look at single values.
 */
import { DuckDBListValue, DuckDBScalarFunction, LIST, VARCHAR } from "@duckdb/node-api";
import { JSONPathEnvironment, type JSONPathQuery } from "json-p3";
import { FunctionError } from "../../../kernel/duckdb/datafusion/rule.ts";

/** Name of the function in SQL: (JSON text, path) → list of JSON texts. */
export const JSON_PATH = "__pipelines_json_path";

const PATH_MAX = 1000;
/** Selectors multiply when each of several brackets has several. */
const SELECTORS_MAX = 64;
const environment = new JSONPathEnvironment();
for (const name of ["match", "search"]) environment.functionRegister.delete(name);

/** The path again, when it can be run. Throws `FunctionError`. */
export function checkedPath(path: string): string {
  if (path.length > PATH_MAX) throw new FunctionError(`a json path may have at most ${PATH_MAX} characters`);
  const query = compile(path);
  const refuse = (why: string): FunctionError => new FunctionError(`json path '${path}': ${why} not supported`);
  if (query.segments.filter((segment) => segment.constructor.name === "DescendantSegment").length > 1)
    throw refuse("more than one '..' is");
  if (query.segments.reduce((product, { selectors }) => product * selectors.length, 1) > SELECTORS_MAX)
    throw refuse("so many selectors are");
  for (const { selectors } of query.segments)
    for (const selector of selectors) {
      const text = selector.toString();
      if (text.startsWith("?") && /\*|\.\.|\?/.test(text.slice(1))) throw refuse("a filter that looks at more than one value is");
    }
  return path;
}

function compile(path: string): JSONPathQuery {
  try {
    return environment.compile(path);
  } catch (cause) {
    throw new FunctionError(`Invalid json path '${path}': ${cause instanceof Error ? cause.message : cause}`);
  }
}

/** Made anew for each instance: an instance takes ownership. */
export function jsonPathFunction(): DuckDBScalarFunction {
  return DuckDBScalarFunction.create({
    name: JSON_PATH,
    returnType: LIST(VARCHAR),
    parameterTypes: [VARCHAR, VARCHAR],
    mainFunction(_info, input, output) {
      const [documents, paths] = [input.getColumnVector(0), input.getColumnVector(1)];
      // The path is the same literal in every row.
      let [last, query]: [string | undefined, JSONPathQuery | undefined] = [undefined, undefined];
      for (let i = 0; i < input.rowCount; i++) {
        const document = documents.getItem(i) as string | null;
        const path = paths.getItem(i) as string | null;
        if (document === null || path === null) {
          output.setItem(i, null);
          continue;
        }
        if (path !== last) [last, query] = [path, compile(path)];
        const found = (query as JSONPathQuery).query(JSON.parse(document)).values();
        output.setItem(i, new DuckDBListValue(found.map((value) => JSON.stringify(value))));
      }
      output.flush();
    },
  });
}
