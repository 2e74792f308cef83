/**
 * Brings pending custom hostnames to "active": looks for their proofs when they are made or edited, and again later, rarer
 * with each look. One loop for all; it ends with the platform. What has been found once stays.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import type { Hostnames } from "./hostnames.ts";
import { type Certificate, type Hostname, isServed } from "./model.ts";
import type { proofFinder } from "./proofs.ts";

export interface Validation {
  /** Looks now, and resolves with what the hostname is then; undefined when it is gone. */
  check(id: string): Promise<Hostname | undefined>;
  stop(): Promise<void>;
}

const TICK_MS = 10_000;
const FIRST_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 4 * 60 * 60_000;
/** Looks of one tick. */
const BATCH_MAX = 50;

/** It may have been edited while its proof was looked for: what was found counts for the certificate that it was looked for. */
const validated = (now: Certificate, proven: Certificate | null): Certificate =>
  now.token === proven?.token ? { ...now, status: "active" } : now;

interface Deps {
  readonly hostnames: Hostnames;
  readonly finder: ReturnType<typeof proofFinder>;
  readonly clock: Clock;
  readonly log: Log;
}

export function startValidation({ hostnames, finder, clock, log }: Deps): Validation {
  const exclusively = oneAtATime();
  /** When each pending hostname is looked at next. */
  const due = new Map<string, number>();
  let round: Promise<void> | undefined;
  let stopped = false;

  const check = (id: string): Promise<Hostname | undefined> =>
    exclusively(id, async () => {
      const before = hostnames.byId(id);
      if (before === undefined || isServed(before)) return before;
      const { owned, controlled, errors } = await finder.find(before);
      const changed = await hostnames.change(
        id,
        (now) => ({
          attempts: now.attempts + 1,
          errors,
          status: owned ? "active" : now.status,
          certificate: now.certificate && validated(now.certificate, controlled ? before.certificate : null),
        }),
        false,
      );
      if (changed === undefined) return undefined;
      due.set(id, clock.now() + Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(changed.attempts - 1, 20)));
      if (isServed(changed)) log.info("custom_hostname.active", { hostname: changed.hostname });
      return changed;
    });

  async function look(): Promise<void> {
    const pending = hostnames.all().filter((hostname) => !isServed(hostname));
    const ids = new Set(pending.map(({ id }) => id));
    for (const id of due.keys()) if (!ids.has(id)) due.delete(id);
    const now = clock.now();
    const next = pending.filter(({ id }) => (due.get(id) ?? 0) <= now).slice(0, BATCH_MAX);
    for (const { id } of next) if (!stopped) await check(id);
  }

  const timer = setInterval(() => {
    round ??= look()
      .catch((error: unknown) => log.error("custom_hostname.check_failed", { error }))
      .finally(() => {
        round = undefined;
      });
  }, TICK_MS);
  timer.unref();

  return {
    check,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await round;
    },
  };
}
