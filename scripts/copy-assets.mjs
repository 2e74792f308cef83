/** Second step of `npm run build`: puts every file of src/ that is not TypeScript beside the JavaScript in dist/. */
import { copyFile, glob, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

for await (const entry of glob("src/**/*", { cwd: root, withFileTypes: true })) {
  // The dashboard's are built into its own files.
  if (entry.parentPath.startsWith(join(root, "src/dashboard"))) continue;
  // The products' READMEs are what the MCP server of the documentation searches.
  if (!entry.isFile() || /\.(ts|tsx)$/.test(entry.name)) continue;
  const from = join(entry.parentPath, entry.name);
  const to = join(root, "dist", from.slice(join(root, "src").length));
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}
