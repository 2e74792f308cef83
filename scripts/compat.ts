/**
 * Writes docs/compat.md: each capability row of docs/rows.tsv with the test file that proves it. A test claims a row by
 * its title, `test("[kv-01] …")` or `test("[kv-01, kv-02] …")`; nothing else counts as proof. Run it after adding such a
 * test; test/compat.test.ts fails while the file is stale.
 *
 *     node scripts/compat.ts
 */
import { glob, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const ROWS = "docs/rows.tsv";
const OUTPUT = "docs/compat.md";
const TESTS = ["src/**/*.test.ts", "test/*/**/*.test.ts"];

interface Row {
  readonly id: string;
  readonly product: string;
  readonly tier: "A" | "B" | "C";
  readonly capability: string;
}

interface Claim {
  readonly row: string;
  readonly file: string;
  readonly title: string;
  /** The reason, when the test is skipped on every machine ("always") or where something is missing ("sometimes"). */
  readonly skip?: { readonly when: "always" | "sometimes"; readonly reason: string };
}

/** The content that docs/compat.md should have. Throws when a title claims a row that does not exist. */
export async function compatibility(): Promise<string> {
  const rows = parseRows(await readFile(join(root, ROWS), "utf8"));
  const claims: Claim[] = [];
  for (const pattern of TESTS)
    for await (const file of glob(pattern, { cwd: root })) claims.push(...claimsIn(await readFile(join(root, file), "utf8"), file));
  claims.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
  const known = new Set(rows.map(({ id }) => id));
  const wrong = claims.filter(({ row }) => !known.has(row)).map(({ row, file }) => `${row} in ${file}`);
  if (wrong.length > 0) throw new Error(`Test titles name rows that ${ROWS} does not have: ${wrong.join(", ")}`);
  return render(rows, claims);
}

function parseRows(text: string): Row[] {
  const [header, ...lines] = text.trimEnd().split("\n");
  if (header !== "id\tproduct\ttier\tcapability\tcheck") throw new Error(`${ROWS} has other columns than expected: ${header}`);
  return lines.map((line) => {
    const [id, product, tier, capability] = line.split("\t") as [string, string, Row["tier"], string];
    return { id, product, tier, capability };
  });
}

/** The program without which a whole test file is of no use: what its opening comment says in the words "Needs Python." */
export const programNeeded = (source: string): string | undefined => /^\/\*\*(?:(?!\*\/)[\s\S])*\bNeeds (\w+)\./.exec(source)?.[1];

/** The claims of one test file's titles. */
export function claimsIn(source: string, file: string): Claim[] {
  const claims: Claim[] = [];
  const needed = programNeeded(source);
  const wholeFile: Claim["skip"] = needed === undefined ? undefined : { when: "sometimes", reason: `needs ${needed}` };
  // A call of test, t.test, …; its title in any quotes; then what stands before the body or the cases: options such as `skip`.
  const call = /\b([\w.]+)\(\s*(["'`])\[([a-z0-9-]+-\d{2}(?:, ?[a-z0-9-]+-\d{2})*)\]\s*(.*?)\2\s*,([\s\S]*?)(?:=>|\bfunction\b|\[)/g;
  for (const [, callee, , ids, title, before] of source.matchAll(call)) {
    const skip = skipped(callee as string, before as string) ?? wholeFile;
    for (const row of (ids as string).split(/, ?/)) claims.push({ row, file, title: title as string, ...(skip && { skip }) });
  }
  return claims;
}

/** What the options say about skipping: `skip: "reason"`, `skip: condition && "reason"`, `skip: noBrowser`, or several of these. */
function skipped(callee: string, options: string): Claim["skip"] {
  if (/\.(skip|todo)$/.test(callee)) return { when: "always", reason: "no reason given" };
  const value = /\bskip:\s*([\s\S]*?)(?:,\s*\w+:|,?\s*\}\s*,)/.exec(options)?.[1];
  if (value === undefined || value === "false") return undefined;
  const needed = value.split("||").map((part) => /^no([A-Z]\w*)$/.exec(part.trim())?.[1]?.replace(/\B[A-Z]/g, (c) => ` ${c}`));
  if (!needed.includes(undefined)) return { when: "sometimes", reason: `needs ${needed.join(" and ")}` };
  const reason = /(["'`])((?:(?!\1).)+)\1[^"'`]*$/.exec(value)?.[2] ?? "no reason given";
  return { when: /&&|\?/.test(value) ? "sometimes" : "always", reason };
}

function render(rows: readonly Row[], claims: readonly Claim[]): string {
  const files = Map.groupBy(
    claims.filter(({ skip }) => skip?.when !== "always"),
    ({ row }) => row,
  );
  const proof = (id: string): string => [...new Set((files.get(id) ?? []).map(({ file }) => file))].map(link).join(", ");
  const products = [...Map.groupBy(rows, ({ product }) => product)].sort(([a], [b]) => (a < b ? -1 : 1));
  const isCore = ({ tier }: Row): boolean => tier !== "C";
  const skipped = claims.filter(({ skip }) => skip !== undefined);
  const elsewhere = rows.filter(({ tier }) => tier === "C");

  const summary = products.map(([product, own]) => {
    const core = own.filter(isCore);
    return [`[${product}](#${product})`, String(core.filter(({ id }) => files.has(id)).length), String(core.length)];
  });
  const total = rows.filter(isCore);
  summary.push(["**all**", String(total.filter(({ id }) => files.has(id)).length), String(total.length)]);

  return [
    "# Compatibility",
    "",
    "Made by `node scripts/compat.ts` from the titles of the tests and `docs/rows.tsv`; do not edit it.",
    "",
    "A row is proven when a test that names it passes; the tests run real clients against a running platform.",
    "Tier A is core, B is expected, C needs what a self-hosted machine lacks. A row without a test is not claimed to work.",
    "",
    table(["Product", "Proven", "Rows A and B"], summary),
    ...products.flatMap(([product, own]) => [
      "",
      `## ${product}`,
      "",
      table(
        ["Row", "Tier", "Capability", "Proven by"],
        own.filter(isCore).map(({ id, tier, capability }) => [id, tier, capability, proof(id)]),
      ),
    ]),
    "",
    "## Skipped tests",
    "",
    skipped.length === 0
      ? "None."
      : table(
          ["Row", "Test", "Skipped", "Because", "File"],
          skipped.map(({ row, title, skip, file }) => [row, title, skip?.when ?? "", skip?.reason ?? "", link(file)]),
        ),
    "",
    "## Rows that need what a self-hosted machine lacks",
    "",
    table(
      ["Row", "Capability", "Proven by"],
      elsewhere.map(({ id, capability }) => [id, capability, proof(id)]),
    ),
    "",
  ].join("\n");
}

const link = (file: string): string => `[${file.replace(/^test\/clients\//, "")}](../${file})`;

function table(header: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...body.map(line)].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(join(root, OUTPUT), await compatibility());
