/** `env.NAME` of a constellation binding: a Fetcher that takes the client library's relative URL. */
class ConstellationProject {
  readonly #project: Fetcher;

  constructor(project: Fetcher) {
    this.#project = project;
  }

  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const target = input instanceof Request ? input : new URL(String(input), "http://constellation");
    return this.#project.fetch(target, init);
  }
}

export default (env: { readonly project: Fetcher }): ConstellationProject => new ConstellationProject(env.project);
