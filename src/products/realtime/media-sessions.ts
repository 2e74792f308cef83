/**
 * The SFU for other products (`MediaSessions`): sessions of a scope of their own, which no app's secret opens, begun with a
 * client's offer and answered at once.
 */
import { MediaRefusal, type MediaSessions } from "../../kernel/capabilities/media.ts";
import { RtcError } from "./errors.ts";
import type { Engine } from "./sfu/engine.ts";
import type { Operation } from "./sfu/sfu-protocol.ts";

interface Described {
  readonly sessionId: string;
  readonly sessionDescription: { readonly sdp: string };
}

export const mediaSessions = (engine: Engine): MediaSessions => ({
  open(scope) {
    // Ids of apps are hexadecimal.
    const app = `product:${scope}`;
    const offerOf = (sdp: string) => ({ sessionDescription: { type: "offer" as const, sdp } });

    async function call(session: string, operation: Operation, body: unknown): Promise<Described> {
      try {
        return (await engine.call(app, session, operation, body)) as Described;
      } catch (error) {
        if (error instanceof RtcError) throw new MediaRefusal(error.status, error.message, { cause: error });
        throw error;
      }
    }

    /** A session whose first operation fails does not stay. */
    async function begun(first: (session: string) => Promise<Described>): Promise<{ session: string; answer: string }> {
      const { sessionId: session } = await call("", "newSession", {});
      try {
        return { session, answer: (await first(session)).sessionDescription.sdp };
      } catch (error) {
        await end(session);
        throw error;
      }
    }

    async function end(session: string): Promise<void> {
      await call(session, "end", {}).catch((error: unknown) => {
        if (!(error instanceof MediaRefusal)) throw error;
      });
    }

    return {
      publish: (offer) => begun((session) => call(session, "newTracks", { ...offerOf(offer), autoDiscover: true })),
      play: (publisher, offer) => begun((session) => call(session, "play", { ...offerOf(offer), publisher })),
      async alive(session) {
        try {
          await call(session, "getSession", {});
          return true;
        } catch (error) {
          if (error instanceof MediaRefusal && (error.status === 404 || error.status === 410)) return false;
          throw error;
        }
      },
      end,
    };
  },
});
