/** `freehold status`: what runs, since when, and whether it is well. Asks the running platform. */
import type { Args, Command } from "./command.ts";
import { DEFAULT_DATA_DIRECTORY, runningPlatform } from "./data-directory.ts";
import { dataFlag, jsonFlag } from "./flags.ts";
import { callRest } from "./rest.ts";
import { paint, print, table } from "./terminal.ts";

/** The answer of GET /freehold/status. */
interface Status {
  readonly started_at: string;
  readonly products: readonly { readonly name: string; readonly status: string; readonly ok: boolean; readonly detail: string }[];
  readonly processes: readonly {
    readonly label: string;
    readonly pid: number;
    readonly startedAt: number;
    readonly leases: number;
    readonly restarts: number;
  }[];
}

export const status: Command = {
  name: "status",
  summary: "show what runs and whether it is well",
  details: "Ends with 1 when a part of the platform is not well, or when no platform runs.",
  flags: { data: dataFlag, json: jsonFlag },
  async run(args: Args): Promise<number> {
    const ready = runningPlatform(args.text("data") ?? DEFAULT_DATA_DIRECTORY);
    const answer = (await callRest(ready, "GET", "/freehold/status")).result as Status;
    const well = answer.products.every(({ ok }) => ok);
    if (args.has("json")) {
      const { s3, api_token: _, ...open } = ready;
      print(JSON.stringify({ ...open, s3: { endpoint: s3.endpoint }, ...answer }, null, 2));
      return well ? 0 : 1;
    }
    const now = Date.now();
    print(
      `${paint(well ? "green" : "red", "●")} ${ready.gateway}  process ${ready.pid}, up ${duration(now - Date.parse(answer.started_at))}`,
    );
    print(`  account ${ready.account_id}, data in ${ready.data_dir}`);
    print("");
    print(
      table(
        ["", "PRODUCT", "MATURITY", "DETAIL"],
        answer.products.map((p) => [p.ok ? paint("green", "✓") : paint("red", "✗"), p.name, p.status, p.detail]),
      ),
    );
    if (answer.processes.length > 0) {
      print("");
      print(
        table(
          ["WORKER", "PID", "UP", "IN USE", "RESTARTS"],
          answer.processes.map((p) => [p.label, String(p.pid), duration(now - p.startedAt), String(p.leases), String(p.restarts)]),
        ),
      );
    }
    return well ? 0 : 1;
  },
};

/** "3 d 4 h", "12 min", "7 s". */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
