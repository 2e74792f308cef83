/**
 * `env.NAME` of a rate limit binding: `limit({ key })` as in `RateLimit` of workers-types. The counter is the platform's,
 * shared by every binding of the same `namespace_id`; the way there is a socket on the same machine.
 */
class RateLimiter {
  readonly #counter: Fetcher;

  constructor(counter: Fetcher) {
    this.#counter = counter;
  }

  async limit(options: { readonly key: string }): Promise<{ success: boolean }> {
    if (typeof options !== "object" || options === null) throw new TypeError("limit() takes an object with a `key`");
    const unknown = Object.keys(options).filter((name) => name !== "key");
    if (unknown.length > 0) throw new Error(`bad rate limit options: [${unknown.join(",")}]`);
    if (typeof options.key !== "string") throw new TypeError("rate limit key must be a string");
    const response = await this.#counter.fetch("http://rate-limit/", { method: "POST", body: options.key });
    // Reading the answer to its end gives the connection back.
    await response.arrayBuffer();
    if (response.status !== 204 && response.status !== 429) throw new Error(`rate limit: the platform answered ${response.status}`);
    return { success: response.status === 204 };
  }
}

export default (env: { readonly counter: Fetcher }): RateLimiter => new RateLimiter(env.counter);
