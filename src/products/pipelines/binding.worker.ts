/**
 * `env.NAME` of a pipelines binding: `send(records)` as in `import("cloudflare:pipelines").Pipeline`. Resolves when the
 * records are durably ingested; throws when they are not, and then none of them is. An RpcTarget, since wrangler's remote
 * bindings hand its method on to a developer's machine.
 */
// @ts-expect-error A module that workerd keeps to itself and to bindings like this one.
import workers from "cloudflare-internal:workers";

interface Answer {
  readonly errors?: readonly { readonly message: string }[];
}

class Pipeline extends workers.RpcTarget {
  readonly #stream: Fetcher;

  constructor(stream: Fetcher) {
    super();
    this.#stream = stream;
  }

  async send(records: readonly unknown[]): Promise<void> {
    if (!Array.isArray(records)) throw new TypeError("Pipeline.send: records must be an array of JSON-serializable objects");
    const response = await this.#stream.fetch("http://pipelines/send", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(records),
    });
    if (response.ok) {
      // Reading the answer to its end gives the connection back.
      await response.arrayBuffer();
      return;
    }
    const answer = (await response.json().catch(() => ({}))) as Answer;
    throw new Error(`Pipeline.send failed: ${answer.errors?.[0]?.message ?? `status ${response.status}`}`);
  }
}

export default (env: { readonly stream: Fetcher }): Pipeline => new Pipeline(env.stream);
