/** The counter of the Agents quick start: each name is an agent of its own, whose count survives restarts and deploys. */
import { Agent, callable, routeAgentRequest } from "agents";

export interface CounterState {
  count: number;
}

export class CounterAgent extends Agent<Cloudflare.Env, CounterState> {
  override initialState: CounterState = { count: 0 };

  override onRequest(): Response {
    return Response.json({ name: this.name, ...this.state });
  }

  @callable()
  increment(): number {
    this.setState({ count: this.state.count + 1 });
    return this.state.count;
  }

  @callable()
  decrement(): number {
    this.setState({ count: this.state.count - 1 });
    return this.state.count;
  }

  @callable()
  reset(): void {
    this.setState({ count: 0 });
  }
}

export default {
  async fetch(request, env) {
    return (await routeAgentRequest(request, env)) ?? new Response("Not found", { status: 404 });
  },
} satisfies ExportedHandler<Cloudflare.Env>;
