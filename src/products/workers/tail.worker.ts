/**
 * Receives the trace of each invocation of the process's Worker and passes the batch on to the platform, which
 * filters and forwards it to live tails.
 */
interface Env {
  SINK: Fetcher;
}

export default {
  async tail(events: unknown[], env: Env): Promise<void> {
    const response = await env.SINK.fetch("http://freehold/tail", { method: "POST", body: JSON.stringify(events) });
    await response.body?.cancel();
  },
};
