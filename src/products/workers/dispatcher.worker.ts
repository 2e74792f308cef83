/**
 * Brings events from outside HTTP to the Worker of this process. Only the platform reaches its socket.
 * `POST /scheduled` with `{ cron, scheduledTime }` answers `{ outcome, noRetry }`.
 */
interface Env {
  USER: Fetcher & {
    scheduled(event: { cron: string; scheduledTime: Date }): Promise<{ outcome: string; noRetry: boolean }>;
  };
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const path = new URL(request.url).pathname;
    if (path !== "/scheduled") return new Response("Unknown event", { status: 404 });
    const { cron, scheduledTime } = (await request.json()) as { cron: string; scheduledTime: number };
    const result = await env.USER.scheduled({ cron, scheduledTime: new Date(scheduledTime) });
    return Response.json({ outcome: result.outcome, noRetry: result.noRetry });
  },
};
