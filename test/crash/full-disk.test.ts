/**
 * Goal: a full disk stops writes with a clear error and they resume by themselves. Method: a program runs on a disk
 * of 8 MB that it fills: a tmpfs in a mount namespace of its own, which disappears with it.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { temporaryDirectory } from "../harness/temporary-directory.ts";

const mountNamespace = process.getuid?.() === 0 ? ["-m"] : ["-r", "-m"];
const onSmallDisk = (directory: string, command: string): string[] => [
  ...mountNamespace,
  "sh",
  "-c",
  `mount -t tmpfs -o size=8m tmpfs "${directory}" && exec ${command}`,
];
const possible = spawnSync("unshare", onSmallDisk(tmpdir(), "true")).status === 0;
const skip = possible ? false : "this system allows no mount namespaces, without which a small disk cannot be made";

for (const [what, title] of [
  ["67108864", "the journal refuses appends while the disk is full, keeps the others, and goes on by itself"],
  ["4096", "a journal that cannot create its next segment refuses appends, and goes on by itself"],
  ["blobs", "the blob store refuses writes while the disk is full, frees what was partly written, and goes on by itself"],
  ["meta", "the meta store refuses writes while the disk is full, keeps the others, and goes on by itself"],
] as const) {
  test(title, { skip, timeout: 60_000 }, async () => {
    const directory = await temporaryDirectory("full-disk-");
    const program = fileURLToPath(new URL("./full-disk-program.ts", import.meta.url));
    const run = promisify(execFile)("unshare", onSmallDisk(directory, `"${process.execPath}" "${program}" ${what} "${directory}"`), {
      timeout: 50_000,
    });
    const { stderr } = await run;
    assert.equal(stderr, "");
  });
}
