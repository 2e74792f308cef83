/** `env.NAME` of a secrets_store_secret binding: `get()` gives the value, or throws when there is none (any more). */
class SecretsStoreSecret {
  readonly #secret: Fetcher;

  constructor(secret: Fetcher) {
    this.#secret = secret;
  }

  async get(): Promise<string> {
    const response = await this.#secret.fetch("http://secrets-store/");
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return text;
  }
}

export default (env: { readonly secret: Fetcher }): SecretsStoreSecret => new SecretsStoreSecret(env.secret);
