import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { metaContract } from "./contract.ts";
import { openSqliteMeta } from "./sqlite.ts";

metaContract("sqlite", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "meta-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return { open: () => openSqliteMeta({ path: join(directory, "meta.db") }) };
});
