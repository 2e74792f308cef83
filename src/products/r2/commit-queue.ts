/**
 * Group commit for steps that need more than one statement: steps of requests that wait together run one after
 * another in one transaction and share its fsync. A step sees what the ones before it wrote, exactly as if it had
 * run after them in a transaction of its own.
 */
import { PlatformError } from "../../kernel/errors.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";

/** May run again after a rollback, so it changes nothing but rows. */
export type Step<T> = (tx: MetaTransaction) => Promise<T>;

export interface CommitQueue {
  /** Resolves when the step's rows are durable; rejects with what the step threw, and then none of its rows are. */
  run<T>(step: Step<T>): Promise<T>;
}

/** Most steps in one transaction, so that the first does not wait long for the last. */
const BATCH_MAX = 64;

interface Waiting {
  readonly step: Step<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome = { readonly value: unknown } | { readonly refused: PlatformError };

export function commitQueue(meta: MetaStore): CommitQueue {
  const waiting: Waiting[] = [];
  let working = false;

  /** Never rejects: every step settles its own promise. */
  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH_MAX);
      try {
        await commit(batch);
      } catch (error) {
        if (batch.length === 1) batch[0]?.reject(error);
        // One step failed after it had written: it alone must be undone, so each runs again by itself.
        else for (const one of batch) await commit([one]).catch(one.reject);
      }
    }
    working = false;
  }

  async function commit(batch: readonly Waiting[]): Promise<void> {
    const outcomes = await meta.transaction(async (tx) => {
      const results: Outcome[] = [];
      for (const { step } of batch) {
        let written = false;
        const counted: MetaTransaction = {
          all: tx.all,
          get: tx.get,
          run: (...args) => {
            written = true;
            return tx.run(...args);
          },
        };
        try {
          results.push({ value: await step(counted) });
        } catch (error) {
          if (written || !(error instanceof PlatformError)) throw error;
          results.push({ refused: error });
        }
      }
      return results;
    });
    batch.forEach((one, i) => {
      const outcome = outcomes[i] as Outcome;
      if ("refused" in outcome) one.reject(outcome.refused);
      else one.resolve(outcome.value);
    });
  }

  return {
    run<T>(step: Step<T>) {
      return new Promise<T>((resolve, reject) => {
        waiting.push({ step, resolve: resolve as (value: unknown) => void, reject });
        if (working) return;
        working = true;
        void work();
      });
    },
  };
}
