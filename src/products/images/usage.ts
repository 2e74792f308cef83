/**
 * Unique transformations of a month: an image's URL with its options, but for the format, counts once however often it is
 * asked for (docs: Images, Pricing). Each is a row, so that a restart counts nothing twice. Calls of the binding count one
 * by one, and as the real service has it they have no limit of their own.
 */
import { createHash } from "node:crypto";
import type { KernelSlice } from "../../kernel/product.ts";

export interface Usage {
  /** False: the transformation is new, and the month has no room for it. */
  note(identity: string): Promise<boolean>;
  /** Unique transformations of the current month. */
  count(): Promise<number>;
}

/** Transformations of the month that are known without a look at the rows. */
const KNOWN_MAX = 50_000;

export function openUsage({ meta, clock, config }: KernelSlice): Usage {
  const max = config["images.transformations_per_month"];
  const known = new Set<string>();
  let month = "";
  let total = 0;
  let begun: Promise<void> = Promise.resolve();

  /** The present month, counted. */
  async function current(): Promise<string> {
    const now = new Date(clock.now()).toISOString().slice(0, 7);
    if (now !== month) {
      known.clear();
      month = now;
      begun = begin(now);
    }
    await begun;
    return now;
  }

  async function begin(now: string): Promise<void> {
    // Of earlier months nothing is asked any more.
    await meta.run("DELETE FROM images_transformations WHERE month < ?", now);
    total = (await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM images_transformations WHERE month = ?", now))?.n ?? 0;
  }

  return {
    async count() {
      await current();
      return total;
    },
    async note(identity) {
      const now = await current();
      const hash = createHash("sha256").update(identity).digest("base64url");
      if (known.has(hash)) return true;
      // One at a time: two that come together do not both take the last place.
      const room = await meta.transaction(async (tx) => {
        if ((await tx.get("SELECT 1 AS one FROM images_transformations WHERE month = ? AND hash = ?", now, hash)) !== undefined)
          return true;
        if (max > 0 && total >= max) return false;
        await tx.run("INSERT INTO images_transformations (month, hash) VALUES (?, ?)", now, hash);
        total++;
        return true;
      });
      if (!room) return false;
      if (known.size >= KNOWN_MAX) known.clear();
      known.add(hash);
      return true;
    },
  };
}
