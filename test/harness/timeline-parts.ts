/** What a timeline stands on, really there, with a clock of the test's own. Opened again it is what a crash leaves. */
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openDirectoryBlobs } from "../../src/kernel/blobs/directory.ts";
import { leaseMigrations, openBlobLeases } from "../../src/kernel/blobs/leases.ts";
import { type Config, resolveConfig } from "../../src/kernel/config.ts";
import { openSegmentJournals } from "../../src/kernel/journal/segments.ts";
import { openLog } from "../../src/kernel/log.ts";
import type { Migration } from "../../src/kernel/meta/meta.ts";
import { openSqliteMeta } from "../../src/kernel/meta/sqlite.ts";
import type { TimelineParts } from "../../src/kernel/timeline/timeline.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export const HOUR_MS = 3_600_000;

export async function timelineParts(t: TestContext, migrations: readonly Migration[], settings: Record<string, unknown> = {}) {
  const directory = await temporaryDirectory("freehold-timeline-");
  const meta = await openSqliteMeta({ path: join(directory, "meta.sqlite") });
  for (const { sql } of [...leaseMigrations, ...migrations]) await meta.script(sql);
  const clock = { time: 500_000 * HOUR_MS, now: () => clock.time };
  const ends: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const end of ends) await end();
    await meta.close();
  });
  return {
    clock,
    meta,
    /** Opens what stands on the parts; stopped when the test ends. */
    async start<T extends { stop(): Promise<void> }>(open: (parts: TimelineParts & { config: Config }) => Promise<T>): Promise<T> {
      const log = openLog({ level: "error" });
      const blobs = await openDirectoryBlobs({ directory: join(directory, "blobs") });
      const config = resolveConfig(settings, "test");
      const journals = await openSegmentJournals({
        directory: join(directory, "journal"),
        segmentBytes: config["journal.segment_bytes"],
        pendingMaxBytes: config["journal.pending_max_bytes"],
        log,
      });
      const leases = await openBlobLeases(meta, blobs, log);
      const opened = await open({ meta, blobs, leases, journals, clock, config, log, directory: join(directory, "own") });
      ends.push(
        () => opened.stop(),
        () => journals.close(),
      );
      return opened;
    },
  };
}
