/**
 * Joining a meeting, on the host `rtc`, with a participant's token. The real service's clients do this over a socket of the
 * hosted service whose protocol is not public; these two calls are Freehold's own.
 */
import { z } from "zod";
import { RtcError } from "../errors.ts";
import type { RtcOperation } from "../rtc-host.ts";
import type { Joins } from "./joins.ts";

const joining = z.object({ peer_id: z.string().max(64).optional() });
const leaving = z.object({ peer_id: z.string().max(64) });

export function kitOperations(joins: Joins): RtcOperation[] {
  // A token says itself whose it is: both operations look into it.
  const authorize = async (): Promise<boolean> => true;
  return [
    {
      method: "POST",
      path: "/kit/join",
      authorize,
      async handle({ body, secret }) {
        const given = joining.safeParse(body);
        if (!given.success) throw new RtcError(400, "invalid_params", "peer_id must be a text");
        return { status: 201, body: await joins.join(secret, given.data.peer_id) };
      },
    },
    {
      method: "POST",
      path: "/kit/leave",
      authorize,
      async handle({ body, secret }) {
        const given = leaving.safeParse(body);
        if (!given.success) throw new RtcError(400, "invalid_params", "peer_id is needed");
        await joins.leave(secret, given.data.peer_id);
        return { body: {} };
      },
    },
  ];
}
