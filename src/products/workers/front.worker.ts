/**
 * The way into a user Worker: its caller, the dispatch Worker in another process, is to see what it throws. HTTP between
 * processes carries no exceptions, so they become an answer with a header that no answer of the Worker itself can have. An
 * entrypoint of the dispatcher's Worker, so that it costs no isolate of its own.
 */
interface Env {
  readonly FRONT: Fetcher;
}

/** The message of what was thrown, percent-encoded. */
const FAILURE = "x-freehold-failure";
/** Longest message that is passed on. */
const MESSAGE_MAX = 2_000;

export const Front = {
  async fetch(request: Request, env: Env): Promise<Response> {
    let response: Response;
    try {
      response = await env.FRONT.fetch(request);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return new Response(null, { status: 500, headers: { [FAILURE]: encodeURIComponent(message.slice(0, MESSAGE_MAX).toWellFormed()) } });
    }
    if (!response.headers.has(FAILURE)) return response;
    const own = new Response(response.body, response);
    own.headers.delete(FAILURE);
    return own;
  },
};
