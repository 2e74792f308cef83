/** Sessions and tracks on the host `rtc`, for whoever has the app's secret. */
import type { KernelSlice } from "../../../kernel/product.ts";
import { RtcError } from "../errors.ts";
import type { Items } from "../items.ts";
import type { RtcOperation } from "../rtc-host.ts";
import { Allowance } from "../turn/allowance.ts";
import type { Engine } from "./engine.ts";
import { bodies, type Operation } from "./sfu-protocol.ts";

/** https://developers.cloudflare.com/realtime/sfu/limits/ */
const CALLS_PER_S = 50;
/** Sessions whose calls are counted; the longest unused go first. */
const COUNTED_MAX = 10_000;

const TABLE: readonly (readonly [method: RtcOperation["method"], path: string, operation: Operation])[] = [
  ["POST", "/new", "newSession"],
  ["GET", "/{session}", "getSession"],
  ["POST", "/{session}/tracks/new", "newTracks"],
  ["PUT", "/{session}/renegotiate", "renegotiate"],
  ["PUT", "/{session}/tracks/close", "closeTracks"],
  ["PUT", "/{session}/tracks/update", "updateTracks"],
  ["POST", "/{session}/datachannels/new", "newChannels"],
  ["POST", "/{session}/datachannels/establish", "establishChannels"],
  ["PUT", "/{session}/datachannels/close", "closeChannels"],
];

export function sfuOperations({ clock }: Pick<KernelSlice, "clock">, apps: Items, engine: Engine): RtcOperation[] {
  const counted = new Map<string, Allowance>();

  function count(session: string): void {
    const allowance = counted.get(session) ?? new Allowance(CALLS_PER_S);
    counted.delete(session);
    counted.set(session, allowance);
    if (counted.size > COUNTED_MAX) counted.delete(counted.keys().next().value as string);
    if (!allowance.take(1, clock.now())) throw new RtcError(429, "too_many_requests", `A session takes ${CALLS_PER_S} calls a second`);
  }

  return TABLE.map(([method, path, operation]) => ({
    method,
    path: `/apps/{app}/sessions${path}`,
    authorize: ({ app = "" }, secret) => apps.opens(app, secret),
    async handle({ params: { app = "", session = "" }, query, body }) {
      if (operation === "newSession" && query.get("thirdparty") === "true")
        throw new RtcError(501, "invalid_params", "Sessions with ICE-lite peers (thirdparty) are not implemented: this SFU is one itself");
      if (session !== "") count(`${app}/${session}`);
      const given = bodies[operation].safeParse(body);
      if (!given.success) {
        const [issue] = given.error.issues;
        throw new RtcError(400, "invalid_params", `${issue?.path.join(".")}: ${issue?.message}`);
      }
      return { status: operation === "newSession" ? 201 : 200, body: await engine.call(app, session, operation, given.data) };
    },
  }));
}
