/**
 * One connection of SRT after its handshake: puts packets in order, asks again for those that are missing, gives up those
 * that come too late, and sends again what the other side misses (draft-sharabayko-srt-01, chapter 4). What comes out of
 * `received` is in order and decrypted; a hole in it is one that the latency did not heal.
 */
import type { SessionKeys } from "./keys.ts";
import {
  after,
  CONTROL,
  controlBytes,
  decodeData,
  distance,
  EXTENSION,
  encodeData,
  HEADER_BYTES,
  isControl,
  lossesOf,
  lossList,
} from "./packets.ts";

export interface SrtConnection {
  /** Sends a message, at most `PAYLOAD_BYTES` long. What the other side does not take in time is forgotten. */
  send(payload: Buffer): void;
  close(): void;
}

export interface ConnectionParts {
  /** The other side's number of the connection. */
  readonly peer: number;
  /** Number of the first packet, in both directions. */
  readonly sequence: number;
  readonly latencyMs: number;
  readonly keys: SessionKeys;
  transmit(packet: Buffer): void;
  received(payload: Buffer): void;
  ended(): void;
}

/** Seven packets of MPEG-TS, the most that callers take by default. */
export const PAYLOAD_BYTES = 1316;
/** Documented: a full acknowledgement every 10 ms. */
const TICK_MS = 10;
const KEEPALIVE_MS = 1_000;
const SILENCE_MS = 10_000;
const WINDOW = 8192;
const UNACKNOWLEDGED_MAX = 4096;
const LOSSES_TOLD_MAX = 64;

export function openConnection(parts: ConnectionParts): SrtConnection & { handle(packet: Buffer): void } {
  const { peer, keys, latencyMs } = parts;
  const begun = performance.now();
  const now = (): number => performance.now() - begun;
  const waiting = new Map<number, { readonly payload: Buffer; readonly at: number }>();
  const unacknowledged = new Map<number, { readonly message: number; readonly time: number; readonly payload: Buffer }>();
  const asked = new Map<number, number>();
  let next = parts.sequence;
  let beyond = parts.sequence;
  let acknowledged = -1;
  let acknowledgement = 0;
  let roundTripMs = 100;
  let sequence = parts.sequence;
  let message = 1;
  let heard = now();
  let spoken = now();
  let reported = now();
  let open = true;

  function control(type: number, info = 0, body: Buffer = Buffer.alloc(4), subtype = 0): void {
    spoken = now();
    parts.transmit(controlBytes(type, subtype, info, now() * 1000, peer, body));
  }

  function deliver(): void {
    for (let found = waiting.get(next); found !== undefined; found = waiting.get(next)) {
      waiting.delete(next);
      next = after(next);
      parts.received(found.payload);
    }
    if (distance(beyond, next) > 0) beyond = next;
  }

  function takeData(packet: Buffer): void {
    const { sequence: number, key, payload } = decodeData(packet);
    const ahead = distance(next, number);
    if (ahead < 0 || ahead >= WINDOW || waiting.has(number) || key === 0) return;
    const plain = keys.turn(payload, number, key);
    if (plain === undefined) return;
    waiting.set(number, { payload: plain, at: now() });
    const skipped = distance(beyond, number);
    if (skipped > 0) control(CONTROL.nak, 0, lossList([[beyond, after(number, -1)]]));
    if (skipped >= 0) beyond = after(number);
    deliver();
  }

  /** Runs of packets that have not come, between those that have. */
  function missing(): [number, number][] {
    const ranges: [number, number][] = [];
    for (let number = next; distance(number, beyond) > 0 && ranges.length < LOSSES_TOLD_MAX; number = after(number)) {
      if (waiting.has(number)) continue;
      const last = ranges.at(-1);
      if (last !== undefined && after(last[1]) === number) last[1] = number;
      else ranges.push([number, number]);
    }
    return ranges;
  }

  function acknowledge(): void {
    if (next === acknowledged) return;
    acknowledged = next;
    acknowledgement = (acknowledgement + 1) & 0x7fffffff;
    asked.set(acknowledgement, now());
    if (asked.size > 256) asked.delete(asked.keys().next().value as number);
    const body = Buffer.alloc(28);
    body.writeUInt32BE(next, 0);
    body.writeUInt32BE(Math.round(roundTripMs * 1000), 4);
    body.writeUInt32BE(Math.round(roundTripMs * 500), 8);
    body.writeUInt32BE(Math.max(2, WINDOW - waiting.size), 12);
    control(CONTROL.ack, acknowledgement, body);
  }

  function tick(): void {
    const time = now();
    if (time - heard > SILENCE_MS) {
      end();
      return;
    }
    const first = waiting.values().next().value;
    if (first !== undefined && time - first.at > latencyMs) {
      // What is missing before it is not worth waiting for any longer.
      next = [...waiting.keys()].reduce((least, number) => (distance(least, number) < 0 ? number : least));
      deliver();
    }
    if (waiting.size > 0 && time - reported > Math.max(20, roundTripMs)) {
      reported = time;
      const ranges = missing();
      if (ranges.length > 0) control(CONTROL.nak, 0, lossList(ranges));
    }
    acknowledge();
    if (time - spoken > KEEPALIVE_MS) control(CONTROL.keepalive);
  }
  const timer = setInterval(tick, TICK_MS).unref();

  function end(): void {
    if (!open) return;
    open = false;
    clearInterval(timer);
    parts.ended();
  }

  function transmitData(number: number, again: boolean): void {
    const found = unacknowledged.get(number);
    if (found === undefined) return;
    const { message: id, time, payload } = found;
    const key = keys.newest;
    const sealed = keys.turn(payload, number, key);
    if (sealed === undefined) return;
    spoken = now();
    parts.transmit(encodeData({ sequence: number, key, message: id, again, time, payload: sealed }, peer));
  }

  function takeControl(packet: Buffer): void {
    const type = packet.readUInt16BE(0) & 0x7fff;
    const info = packet.readUInt32BE(4);
    const body = packet.subarray(HEADER_BYTES);
    if (type === CONTROL.ack && body.length >= 4) {
      const until = body.readUInt32BE(0);
      for (const number of unacknowledged.keys()) {
        if (distance(number, until) <= 0) break;
        unacknowledged.delete(number);
      }
      // A light one has no more than that, and is not answered.
      if (body.length > 4) control(CONTROL.ackack, info);
    } else if (type === CONTROL.nak) {
      for (const [first, last] of lossesOf(body).slice(0, LOSSES_TOLD_MAX))
        for (let number = first, left = UNACKNOWLEDGED_MAX; left > 0 && distance(number, last) >= 0; number = after(number), left--)
          transmitData(number, true);
    } else if (type === CONTROL.ackack) {
      const sent = asked.get(info);
      asked.delete(info);
      if (sent !== undefined) roundTripMs = roundTripMs * 0.875 + (now() - sent) * 0.125;
    } else if (type === CONTROL.drop && body.length >= 8) {
      const last = body.readUInt32BE(4);
      if (distance(body.readUInt32BE(0), next) >= 0 && distance(next, last) >= 0 && distance(next, last) < WINDOW) {
        next = after(last);
        for (const number of waiting.keys()) if (distance(number, next) > 0) waiting.delete(number);
        deliver();
      }
    } else if (type === CONTROL.user && packet.readUInt16BE(2) === EXTENSION.keys) {
      if (keys.take(body)) control(CONTROL.user, 0, body, EXTENSION.keysAnswer);
    } else if (type === CONTROL.shutdown) end();
  }

  return {
    handle(packet) {
      if (!open) return;
      heard = now();
      if (isControl(packet)) takeControl(packet);
      else takeData(packet);
    },
    send(payload) {
      if (!open) return;
      unacknowledged.set(sequence, { message, time: (now() * 1000) >>> 0, payload });
      if (unacknowledged.size > UNACKNOWLEDGED_MAX) unacknowledged.delete(unacknowledged.keys().next().value as number);
      transmitData(sequence, false);
      sequence = after(sequence);
      message = (message + 1) & 0x3ffffff;
    },
    close() {
      if (!open) return;
      control(CONTROL.shutdown);
      end();
    },
  };
}
