/**
 * What builds print, line by line: in rows, some lines to a row, written a moment after they came, so that it can be read
 * while the build runs. Bounded for each build; kept for a year after it was written.
 */
import type { Clock } from "../../../kernel/clock.ts";
import type { Log } from "../../../kernel/log.ts";
import type { MetaStore } from "../../../kernel/meta/meta.ts";

export interface LogLine {
  readonly ts: number;
  readonly line: string;
}

/** The log of one build that runs. */
export interface BuildLog {
  say(line: string): void;
  /** What a program prints: whole lines become lines. */
  write(chunk: Buffer): void;
  /** Everything is in rows when it resolves. */
  end(): Promise<void>;
}

export interface BuildLogs {
  open(deploymentId: string): Promise<BuildLog>;
  read(deploymentId: string): Promise<LogLine[]>;
  /** Forgets what a build that starts again has said. */
  clear(deploymentId: string): Promise<void>;
  /** Deletes what is older than it is kept for. */
  sweep(): Promise<void>;
}

const FLUSH_MS = 250;
const LINE_MAX = 4_000;
const LOG_MAX_BYTES = 8 * 1024 * 1024;
const YEAR_MS = 365 * 24 * 3600 * 1000;
/** Colours and cursor movements of terminals. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out.
const CONTROL = /\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000-\u0008\u000b-\u001f\u007f]/g;

export function openBuildLogs(meta: MetaStore, clock: Clock, log: Log): BuildLogs {
  return {
    async open(id) {
      const last = await meta.get<{ part: number | null }>("SELECT MAX(part) AS part FROM pages_build_logs WHERE deployment_id = ?", id);
      let part = (last?.part ?? -1) + 1;
      let pending: LogLine[] = [];
      let open = "";
      let size = 0;
      let writing = Promise.resolve();
      const flush = (): Promise<void> => {
        const lines = pending;
        pending = [];
        if (lines.length === 0) return writing;
        const number = part++;
        writing = writing.then(async () => {
          await meta.run(
            "INSERT INTO pages_build_logs (deployment_id, part, written_on, lines) VALUES (?, ?, ?, ?)",
            id,
            number,
            clock.now(),
            JSON.stringify(lines),
          );
        });
        return writing;
      };
      const timer = setInterval(
        () => flush().catch((error: unknown) => log.error("build.log_failed", { deployment: id, error })),
        FLUSH_MS,
      );
      const add = (text: string): void => {
        if (size > LOG_MAX_BYTES) return;
        const line = text.replace(CONTROL, "").slice(0, LINE_MAX);
        size += line.length;
        pending.push({ ts: clock.now(), line: size > LOG_MAX_BYTES ? "The log is too long: what follows is not kept." : line });
      };
      return {
        say: add,
        write(chunk) {
          const lines = (open + chunk.toString("utf8")).split(/\r?\n|\r/);
          open = lines.pop()?.slice(0, LINE_MAX) ?? "";
          for (const line of lines) add(line);
        },
        async end() {
          clearInterval(timer);
          if (open !== "") add(open);
          open = "";
          await flush();
        },
      };
    },
    async read(id) {
      const rows = await meta.all<{ lines: string }>(
        "SELECT lines FROM pages_build_logs WHERE deployment_id = ? ORDER BY part LIMIT 1000000",
        id,
      );
      return rows.flatMap(({ lines }) => JSON.parse(lines) as LogLine[]);
    },
    async clear(id) {
      await meta.run("DELETE FROM pages_build_logs WHERE deployment_id = ?", id);
    },
    async sweep() {
      await meta.run("DELETE FROM pages_build_logs WHERE written_on < ?", clock.now() - YEAR_MS);
    },
  };
}
