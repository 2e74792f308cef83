/**
 * Live video by WebRTC (docs: WebRTC): encoders publish by WHIP, viewers play by WHEP, both with one offer and its answer.
 * Media goes through another product's sessions and through nothing else: as in the real service such a broadcast is neither
 * recorded nor seen by HLS. One encoder at a time has an input.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../../../kernel/api/body.ts";
import { MediaRefusal, type ScopedMediaSessions } from "../../../kernel/capabilities/media.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import type { Log } from "../../../kernel/log.ts";
import { corsHeaders, DeliveryError } from "../answers.ts";
import type { LiveInput, LiveInputs } from "./inputs.ts";
import type { LiveNotices } from "./notices.ts";

export interface WebRtc {
  /** `/{key}/webRTC/publish`, and below it the encoder's own session. */
  publish(key: string, session: string | undefined, request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** `/{id}/webRTC/play`: whoever asks has been admitted. */
  play(input: LiveInput, session: string | undefined, request: IncomingMessage, response: ServerResponse): Promise<void>;
  connected(input: string): boolean;
  /** Ends what an input broadcasts. */
  disconnect(input: string): void;
  stop(): Promise<void>;
}

/** Of a description, or a piece of one. */
const BODY = { maxBytes: 128 * 1024, idleTimeoutMs: 10_000 };
const SDP = "application/sdp";
const TRICKLE = "application/trickle-ice-sdpfrag";
/** So often is asked whether an encoder is still there. */
const LOOK_MS = 2_000;
/** Viewers' sessions that are remembered; the oldest are forgotten, and end by themselves. */
const VIEWERS_MAX = 10_000;
const RETRY_AFTER_S = 5;

export function openWebRtc(parts: {
  readonly sessions: ScopedMediaSessions;
  readonly inputs: LiveInputs;
  readonly notices: LiveNotices;
  readonly log: Log;
}): WebRtc {
  const { sessions, inputs, notices, log } = parts;
  const publishers = new Map<string, { readonly session: string; readonly timer: NodeJS.Timeout }>();
  /** Whose offer is being answered. */
  const arriving = new Set<string>();
  const viewers = new Map<string, string>();

  function over(input: string): void {
    const publisher = publishers.get(input);
    if (publisher === undefined) return;
    clearInterval(publisher.timer);
    publishers.delete(input);
    notices.disconnected(input);
    sessions.end(publisher.session).catch((error: unknown) => log.warn("stream.webrtc_end_failed", { input, error }));
  }

  async function look(input: string, session: string): Promise<void> {
    if (!(await sessions.alive(session)) && publishers.get(input)?.session === session) over(input);
  }

  async function offerOf(request: IncomingMessage): Promise<string> {
    const body = await readBody(request, BODY);
    if (!(request.headers["content-type"] ?? "").startsWith(SDP)) throw new DeliveryError(415, `an offer is ${SDP}`);
    return body.toString("utf8");
  }

  function answered(request: IncomingMessage, response: ServerResponse, session: string, sdp: string): void {
    const path = (request.url as string).split("?")[0] as string;
    const headers = { ...corsHeaders(request), "cache-control": "no-store", location: `${path}/${session}`, etag: `"${session}"` };
    response.writeHead(201, { ...headers, "content-type": SDP, "content-length": Buffer.byteLength(sdp) }).end(sdp);
  }

  /** What a client does with its session. `end` ends it. */
  async function ownSession(request: IncomingMessage, response: ServerResponse, end: () => void): Promise<void> {
    const body = await readBody(request, BODY);
    const headers = { ...corsHeaders(request), "cache-control": "no-store" };
    if (request.method === "DELETE") {
      end();
      response.writeHead(200, headers).end();
    } else if (request.method === "PATCH") {
      if (!(request.headers["content-type"] ?? "").startsWith(TRICKLE) || body.byteLength === 0)
        throw new DeliveryError(415, `candidates are ${TRICKLE}`);
      // The other side of the connection waits to be found by the client, whatever its addresses are (ICE lite).
      response.writeHead(204, headers).end();
    } else throw new DeliveryError(405, "PATCH and DELETE only");
  }

  const refused = (error: unknown): unknown => {
    if (error instanceof MediaRefusal) return new DeliveryError(error.status === 404 ? 409 : error.status, error.message, { cause: error });
    return error instanceof PlatformError ? new DeliveryError(error.spec.status, error.message, { cause: error }) : error;
  };

  async function beginPublishing(input: LiveInput, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const offer = await offerOf(request);
    if (!input.enabled) throw new DeliveryError(403, "the live input is disabled");
    const known = publishers.get(input.uid);
    if (known !== undefined) await look(input.uid, known.session);
    if (publishers.has(input.uid) || arriving.has(input.uid)) throw new DeliveryError(409, "the live input has an encoder already");
    arriving.add(input.uid);
    try {
      const { session, answer } = await sessions.publish(offer);
      const timer = setInterval(() => {
        look(input.uid, session).catch((error: unknown) => log.warn("stream.webrtc_look_failed", { input: input.uid, error }));
      }, LOOK_MS).unref();
      publishers.set(input.uid, { session, timer });
      notices.connected(input.uid);
      answered(request, response, session, answer);
    } finally {
      arriving.delete(input.uid);
    }
  }

  async function beginPlaying(input: LiveInput, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const offer = await offerOf(request);
    const publisher = publishers.get(input.uid);
    if (publisher === undefined) {
      response.setHeader("retry-after", RETRY_AFTER_S);
      throw new DeliveryError(409, "the live input broadcasts nothing by WebRTC");
    }
    const { session, answer } = await sessions.play(publisher.session, offer);
    viewers.set(session, input.uid);
    if (viewers.size > VIEWERS_MAX) viewers.delete(viewers.keys().next().value as string);
    answered(request, response, session, answer);
  }

  return {
    async publish(key, session, request, response) {
      const found = await inputs.ofKey(key);
      if (found?.use !== "webRtc") throw new DeliveryError(404, "there is no such live input");
      const { input } = found;
      try {
        if (session === undefined) return await beginPublishing(input, request, response);
        if (publishers.get(input.uid)?.session !== session) throw new DeliveryError(404, "there is no such session");
        await ownSession(request, response, () => over(input.uid));
      } catch (error) {
        throw refused(error);
      }
    },
    async play(input, session, request, response) {
      try {
        if (session === undefined) return await beginPlaying(input, request, response);
        if (viewers.get(session) !== input.uid) throw new DeliveryError(404, "there is no such session");
        await ownSession(request, response, () => {
          viewers.delete(session);
          sessions.end(session).catch((error: unknown) => log.warn("stream.webrtc_end_failed", { input: input.uid, error }));
        });
      } catch (error) {
        throw refused(error);
      }
    },
    connected: (input) => publishers.has(input),
    disconnect: over,
    async stop() {
      for (const { timer } of publishers.values()) clearInterval(timer);
      publishers.clear();
    },
  };
}
