/** House rules that a linter does not know, as ordinary tests. Each names the file and what to do instead. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import test from "node:test";

const root = join(import.meta.dirname, "../..");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(root, file)));
const code = files.filter((file) => /\.(tsx?|mjs)$/.test(file) && /^(src|bin|scripts|test|bench|examples)\//.test(file));
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const imports = (file: string): string[] =>
  [...read(file).matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)].map((match) =>
    normalize(join(dirname(file), match[1] as string)),
  );

function none(violations: readonly string[], remedy: string): void {
  assert.deepEqual(violations, [], remedy);
}

test("no product imports another, and the kernel imports no product", () => {
  const product = (file: string): string | undefined => /^src\/products\/([^/]+)\//.exec(file)?.[1];
  const violations = code.flatMap((file) =>
    imports(file)
      .filter(
        (target) =>
          product(target) !== undefined &&
          (product(file) !== undefined ? product(target) !== product(file) : /^src\/(kernel|protocols)\//.test(file)),
      )
      .map((target) => `${file} → ${target}`),
  );
  none(violations, "meet through a capability in src/kernel/capabilities.ts");
});

test("the kernel and the products know nothing of their clients, the command line and the dashboard", () => {
  const violations = code
    .filter((file) => /^src\/(kernel|protocols|products)\//.test(file) && !file.startsWith("src/products/dashboard/"))
    .flatMap((file) =>
      imports(file)
        .filter((target) => /^src\/(cli|dashboard)\//.test(target))
        .map((target) => `${file} → ${target}`),
    );
  none(violations, "a command of a product is src/cli/products/<name>, a page src/dashboard/products/<name>");
});

test("protocols have no storage: they import nothing but protocols, except the kernel's error type", () => {
  const violations = code
    .filter((file) => file.startsWith("src/protocols/") && !file.endsWith(".test.ts"))
    .flatMap((file) =>
      imports(file)
        .filter((target) => !/^src\/(protocols\/|kernel\/errors\.ts)/.test(target))
        .map((target) => `${file} → ${target}`),
    );
  none(violations, "move what needs the kernel into the product");
});

test("nothing is left open in the code", () => {
  none(
    code.filter((file) => /\b(T[O]DO|F[I]XME|H[A]CK)\b/.test(read(file))),
    "finish it, or say in the product's README what is not there yet",
  );
});

test("no test is skipped or singled out without a reason", () => {
  none(
    code.filter((file) => file !== "test/tidy/tidy.test.ts" && /\b(test|it|describe)\.(only|skip|todo)\b|skip: true/.test(read(file))),
    'give the reason: { skip: "why" }, which docs/compat.md lists',
  );
});

test("products of the dashboard meet in its lists alone", () => {
  const product = (file: string): string | undefined => /^src\/dashboard\/products\/([^/]+)\//.exec(file)?.[1];
  none(
    code.flatMap((file) =>
      imports(file)
        .filter((target) => product(file) !== undefined && product(target) !== undefined && product(target) !== product(file))
        .map((target) => `${file} → ${target}`),
    ),
    "go through a list beside the products, as bucket-cards.ts does",
  );
});

test("products take the time from their clock", () => {
  none(
    // The sandbox's runtime is a program of its own inside containers, which have no kernel.
    code.filter(
      (file) =>
        /^src\/products\/(?!sandbox\/runtime\/).*(?<!\.test|\.worker)\.ts$/.test(file) && /\bDate\.now\(\)|new Date\(\)/.test(read(file)),
    ),
    "use kernel.clock, which tests can move",
  );
});

test("only the logger and the command line write to the console", () => {
  none(
    code.filter(
      (file) => /^src\/(kernel|products|protocols)\/.*(?<!\.worker|\.test)\.ts$/.test(file) && /\bconsole\.\w+\(/.test(read(file)),
    ),
    "use the log of the kernel slice",
  );
});

test("every source file is used by another one", () => {
  const entries = new Set(["src/cli/main.ts", "src/dashboard/main.tsx"]);
  const used = new Set([...code.flatMap(imports), ...entries]);
  // Threads and worker modules are named by URL or path, not imported.
  const named = code.map(read).join("\n");
  const violations = code.filter(
    (file) =>
      file.startsWith("src/") &&
      !file.endsWith(".test.ts") &&
      !used.has(file) &&
      !named.includes(`/${(file.split("/").at(-1) as string).replace(/\.tsx?$/, "")}.`),
  );
  none(violations, "delete what nobody uses");
});

test("every product has a README", () => {
  const products = new Set(code.flatMap((file) => /^src\/products\/([^/]+)\//.exec(file)?.[1] ?? []));
  none(
    [...products].filter((name) => !files.includes(`src/products/${name}/README.md`)),
    "say what it serves, guarantees, limits and lacks",
  );
});

test("the lock file names no registry, and no file a path of one machine", () => {
  assert.ok(
    !read("package-lock.json").includes('"resolved": "http'),
    "set omit-lockfile-registry-resolved=true in .npmrc and write it anew",
  );
});
