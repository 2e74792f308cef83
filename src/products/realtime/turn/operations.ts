/**
 * Credentials of TURN on the host `rtc`, for whoever has the key's secret.
 * https://developers.cloudflare.com/realtime/turn/generate-credentials/
 */
import { z } from "zod";
import { RtcError } from "../errors.ts";
import type { Items } from "../items.ts";
import type { RtcOperation, RtcRequest } from "../rtc-host.ts";
import type { Credential, Credentials } from "./credentials.ts";
import type { Turn } from "./turn.ts";
import type { TurnPorts } from "./turn-protocol.ts";

/** 48 hours. */
const TTL_MAX_S = 172_800;

const asked = z.object({
  ttl: z.number().int().positive().max(TTL_MAX_S),
  customIdentifier: z.string().max(256).optional(),
});

export function turnOperations(keys: Items, credentials: Credentials, turn: Turn): RtcOperation[] {
  const authorize: RtcOperation["authorize"] = ({ key = "" }, secret) => keys.opens(key, secret);
  const root = "/turn/keys/{key}/credentials";

  async function create({ params, body }: RtcRequest): Promise<{ credential: Credential; ports: TurnPorts }> {
    const given = asked.safeParse(body);
    if (!given.success)
      throw new RtcError(400, "invalid_params", `${given.error.issues[0]?.path.join(".")}: ${given.error.issues[0]?.message}`);
    const ports = await turn.ports();
    return { credential: await credentials.create(params.key as string, given.data.ttl, given.data.customIdentifier ?? ""), ports };
  }

  const stunUrls = ({ udp }: TurnPorts): string[] => udp.map((port) => `stun:${turn.name}:${port}`);
  const turnUrls = ({ udp, tcp, tls }: TurnPorts): string[] => [
    ...udp.map((port) => `turn:${turn.name}:${port}?transport=udp`),
    ...tcp.map((port) => `turn:${turn.name}:${port}?transport=tcp`),
    ...tls.map((port) => `turns:${turn.name}:${port}?transport=tcp`),
  ];

  return [
    {
      method: "POST",
      path: `${root}/generate-ice-servers`,
      authorize,
      async handle(request) {
        const { credential, ports } = await create(request);
        const { username, password } = credential;
        return {
          status: 201,
          body: { iceServers: [{ urls: stunUrls(ports) }, { urls: turnUrls(ports), username, credential: password }] },
        };
      },
    },
    {
      method: "POST",
      path: `${root}/generate`,
      authorize,
      async handle(request) {
        const { credential, ports } = await create(request);
        const { username, password } = credential;
        return { status: 201, body: { iceServers: { urls: [...stunUrls(ports), ...turnUrls(ports)], username, credential: password } } };
      },
    },
    {
      method: "POST",
      path: `${root}/{username}/revoke`,
      authorize,
      async handle({ params: { key = "", username = "" } }) {
        if (!(await credentials.revoke(key, username))) throw new RtcError(404, "not_found", "The key has no such credential");
        turn.revoke([username]);
        return { body: {} };
      },
    },
  ];
}
