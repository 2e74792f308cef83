/**
 * Sessions, by whichever door they come: each is shown its relay by the token in its path and served there until it ends.
 * Relays are apart: one's sessions see nothing of another's.
 */
import type { KernelSlice } from "../../kernel/product.ts";
import { type PeerLimits, servePeer } from "./relay/peer.ts";
import { Scope } from "./relay/scope.ts";
import type { Grant, Relays } from "./relays.ts";
import type { Session } from "./transport/session.ts";

export interface Sessions {
  accept(session: Session): void;
  online(relay: string): boolean;
  /** Ends the sessions of a relay that is no more. */
  end(relay: string): void;
  readonly count: number;
  stop(): void;
}

const UNAUTHORIZED = 0x2;
const GOING_AWAY = 0x0;
/** The relay of sessions without a token, where `moq.open` allows them; no relay's uid. */
const OPEN: Grant = { relay: "", operations: ["publish", "subscribe"] };
/** Asks for subgroup headers as the draft has them, whatever the platform's own choice is. */
const HEADER_OPTION = "subscribe_id";

export function openSessions({ config, log }: Pick<KernelSlice, "config" | "log">, relays: Relays): Sessions {
  const limits: PeerLimits = {
    subscriptionsMax: config["moq.subscriptions_max"],
    announcesMax: config["moq.announces_max"],
    objectMaxBytes: config["moq.object_max_bytes"],
    queueMaxBytes: config["moq.queue_max_bytes"],
    groupsBehindMax: config["moq.groups_behind_max"],
    setupTimeout: config["moq.setup_timeout_ms"],
    failed: (error) => log.error("moq.session_failed", { error }),
  };
  const scopes = new Map<string, { readonly scope: Scope; readonly sessions: Set<Session> }>();
  const all = new Set<Session>();

  async function serve(session: Session): Promise<void> {
    const { token, subscribeIdInHeaders } = addressOf(session.path, config["moq.subgroup_subscribe_id"]);
    const grant = token === "" ? config["moq.open"] && OPEN : await relays.grant(token);
    if (grant === undefined || grant === false) return session.close(UNAUTHORIZED, "the token opens no relay");
    const place = placeOf(grant.relay);
    place.sessions.add(session);
    try {
      await servePeer(
        session,
        place.scope,
        { publish: grant.operations.includes("publish"), subscribe: grant.operations.includes("subscribe"), subscribeIdInHeaders },
        limits,
      );
    } finally {
      place.sessions.delete(session);
      if (place.sessions.size === 0) scopes.delete(grant.relay);
    }
  }

  function placeOf(relay: string): { readonly scope: Scope; readonly sessions: Set<Session> } {
    let place = scopes.get(relay);
    if (place === undefined) {
      const kept = { groupsKept: config["moq.groups_kept"], keptMaxBytes: config["moq.track_max_bytes"] };
      place = { scope: new Scope(kept), sessions: new Set() };
      scopes.set(relay, place);
    }
    return place;
  }

  return {
    accept(session) {
      if (all.size >= config["moq.sessions_max"]) return session.close(UNAUTHORIZED, "too many sessions");
      all.add(session);
      serve(session)
        .catch(limits.failed)
        .finally(() => all.delete(session));
      return undefined;
    },
    online: (relay) => scopes.has(relay),
    end(relay) {
      for (const session of scopes.get(relay)?.sessions ?? []) session.close(UNAUTHORIZED, "the relay was deleted");
    },
    get count() {
      return all.size;
    },
    stop() {
      for (const session of all) session.close(GOING_AWAY, "the relay stops");
    },
  };
}

/** The token is the path; the query may say how subgroup headers look: `subscribe_id=0` as in the draft, `=1` as the real service. */
function addressOf(target: string, withSubscribeId: boolean): { token: string; subscribeIdInHeaders: boolean } {
  const [path = "", query = ""] = target.split("?", 2);
  const asked = new URLSearchParams(query).get(HEADER_OPTION);
  return { token: path.replace(/^\/+|\/+$/g, ""), subscribeIdInHeaders: asked === null ? withSubscribeId : asked !== "0" };
}
