/** What belongs to the account and not to one Worker: its workers.dev style subdomain. */
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { workersError } from "./errors.ts";

/** Until the account chooses one, so that a first deploy needs no question. */
const DEFAULT_SUBDOMAIN = "dev";

export async function openAccount(meta: MetaStore): Promise<{ subdomain: { get(): string; set(value: string): Promise<void> } }> {
  const row = await meta.get<{ value: string }>("SELECT value FROM workers_account WHERE key = 'subdomain'");
  let current = row?.value;
  return {
    subdomain: {
      get: () => current ?? DEFAULT_SUBDOMAIN,
      async set(value) {
        if (current !== undefined && current !== value) throw workersError("subdomainExists");
        await meta.run(
          "INSERT INTO workers_account (key, value) VALUES ('subdomain', ?) ON CONFLICT (key) DO UPDATE SET value = ?",
          value,
          value,
        );
        current = value;
      },
    },
  };
}
