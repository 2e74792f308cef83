/** DataFusion's functions on bytes: encodings and hashes. Text is taken as UTF-8. */
import { literal } from "../engine.ts";
import { DIGEST, digestAlgorithms } from "./digest.ts";
import { constantText, FunctionError, type FunctionRule, type FunctionTable, type TypedArgument, typedRule } from "./rule.ts";
import { isText } from "./types.ts";

/** The argument as BLOB. A cast would read `\x41` in a text as an escape. */
const bytesOf = ({ sql, type }: TypedArgument): string => (isText(type) ? `encode(${sql})` : `CAST(${sql} AS BLOB)`);

function hash(arg: TypedArgument, algorithm: string): string {
  const bytes = bytesOf(arg);
  // What DuckDB has itself runs on its threads; the rest is JavaScript.
  if (algorithm === "md5") return `unhex(md5(${bytes}))`;
  if (algorithm === "sha256") return `unhex(sha256(${bytes}))`;
  return `${DIGEST}(${bytes}, ${literal(algorithm)})`;
}

const hashRule = (algorithm: string): FunctionRule => typedRule(1, 1, ([arg]) => hash(arg as TypedArgument, algorithm));

function formatOf(args: readonly TypedArgument[], name: string): "base64" | "hex" {
  const format = constantText(args[1], `the format of ${name}`).toLowerCase();
  if (format !== "base64" && format !== "hex")
    throw new FunctionError(`There is no built-in encoding named '${format}', currently supported encodings are: base64, hex`);
  return format;
}

export const bytes: FunctionTable = {
  encode: typedRule(2, 2, (args) => {
    const value = bytesOf(args[0] as TypedArgument);
    // The real engine's base64 has no padding.
    return formatOf(args, "encode") === "base64" ? `rtrim(to_base64(${value}), '=')` : `lower(hex(${value}))`;
  }),
  decode: typedRule(2, 2, (args) => {
    const [arg] = args as [TypedArgument];
    const text = isText(arg.type) ? arg.sql : `decode(${arg.sql})`;
    if (formatOf(args, "decode") === "hex") return `unhex(${text})`;
    const bare = `rtrim(${text}, '=')`;
    return `from_base64(rpad(${bare}, CAST(ceil(length(${bare}) / 4.0) * 4 AS INTEGER), '='))`;
  }),
  digest: typedRule(2, 2, (args) => {
    const algorithm = constantText(args[1], "the algorithm of digest").toLowerCase();
    if (!digestAlgorithms.includes(algorithm))
      throw new FunctionError(
        `There is no built-in digest algorithm named '${algorithm}', currently supported algorithms are: ${digestAlgorithms.join(", ")}`,
      );
    return hash(args[0] as TypedArgument, algorithm);
  }),
  md5: typedRule(1, 1, ([arg]) => `md5(${bytesOf(arg as TypedArgument)})`),
  sha224: hashRule("sha224"),
  sha256: hashRule("sha256"),
  sha384: hashRule("sha384"),
  sha512: hashRule("sha512"),
};
