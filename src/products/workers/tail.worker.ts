/**
 * Receives the trace of each invocation of the process's Worker and passes it on to the platform, which filters and
 * forwards it to live tails.
 */

import { Outbox } from "./outbox.worker.ts";
import { isPlatformEntrypoint } from "./platform-entrypoint.worker.ts";

const outbox = new Outbox();

export default {
  async tail(events: { readonly entrypoint?: string | null }[], env: { readonly SINK: Fetcher }): Promise<void> {
    for (const event of events) if (!isPlatformEntrypoint(event.entrypoint)) outbox.add(JSON.stringify(event));
    await outbox.send(env.SINK);
  },
};
