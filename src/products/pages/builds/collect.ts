/**
 * Runs in a build's sandbox when the build has ended, and writes the files below directories to standard output: for each
 * four bytes with the length of a JSON header, the header `{root, path, size}`, and the bytes. Links are followed, which is why this
 * runs where there is nothing to be found but the build's own. It imports nothing of the platform.
 */
import { createReadStream, existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const [filesMax = "0", fileMax = "0", ...roots] = process.argv.slice(2);
/** What wrangler leaves out as well. */
const LEFT_OUT = new Set(["node_modules", ".git", ".DS_Store", ".wrangler"]);

interface File {
  readonly path: string;
  readonly size: number;
}

function fail(message: string): never {
  process.stderr.write(`Error: ${message}\n`);
  process.exit(1);
}

/** Files by their paths from the root. Directories that are seen on the way to themselves are not entered again. */
function* files(root: string, directory: string, above: readonly string[]): Generator<File> {
  const real = realpathSync(join(root, directory));
  if (above.includes(real)) return;
  for (const name of readdirSync(join(root, directory)).sort()) {
    if (LEFT_OUT.has(name) || (directory === "" && name === "functions")) continue;
    const path = directory === "" ? name : `${directory}/${name}`;
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) yield* files(root, path, [...above, real]);
    else if (stat?.isFile() === true) yield { path, size: stat.size };
  }
}

/** `fileMax` holds for files of the first root: the others are the platform's own. */
async function* frames(): AsyncGenerator<Buffer> {
  let count = 0;
  for (const [number, root] of roots.entries()) {
    if (!existsSync(root)) continue;
    for (const { path, size } of files(root, "", [])) {
      if (++count > Number(filesMax)) fail(`Pages only supports up to ${Number(filesMax).toLocaleString("en")} files in a deployment.`);
      if (number === 0 && size > Number(fileMax))
        fail(`Pages only supports files up to ${Number(fileMax) / 2 ** 20} MiB in size: ${path} has ${(size / 2 ** 20).toFixed(1)} MiB.`);
      const header = Buffer.from(JSON.stringify({ root: number, path, size }));
      const length = Buffer.alloc(4);
      length.writeUInt32BE(header.length);
      yield Buffer.concat([length, header]);
      if (size > 0) for await (const chunk of createReadStream(join(root, path), { end: size - 1 })) yield chunk as Buffer;
    }
  }
}

await pipeline(Readable.from(frames(), { objectMode: true, highWaterMark: 4 }), process.stdout);
