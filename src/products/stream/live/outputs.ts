/**
 * Outputs: other servers that a live input's broadcast is passed on to while it lasts (docs: Simulcast). Rows say which; a
 * push that fails is tried again while the broadcast lasts and the output is enabled.
 */
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import type { KernelSlice } from "../../../kernel/product.ts";
import { streamError } from "../errors.ts";
import { newUid } from "../videos.ts";
import type { Live } from "./broadcasts.ts";
import type { FlvTag } from "./flv.ts";
import { openPush, type Push, pushable } from "./rtmp-push.ts";

export interface Output {
  readonly uid: string;
  readonly input: string;
  readonly enabled: boolean;
  readonly url: string;
  readonly streamKey: string;
}

export const outputSchema = z.object({
  url: z.string().max(2048),
  streamKey: z.string().max(1024),
  enabled: z.boolean().optional(),
});
export const outputChangeSchema = z.object({ enabled: z.boolean() });

export interface Outputs {
  create(input: string, given: z.infer<typeof outputSchema>): Promise<Output>;
  list(input: string): Promise<Output[]>;
  /** Throws `stream.notFound`. */
  change(input: string, uid: string, enabled: boolean): Promise<Output>;
  remove(input: string, uid: string): Promise<void>;
  /** Of an input that is deleted. */
  removeAll(input: string): Promise<void>;
  /** A broadcast has begun. */
  begun(input: string): void;
  /** Whether a broadcast goes to it now. */
  connected(uid: string): boolean;
  stop(): void;
}

/** Documented. */
const OUTPUTS_MAX = 50;
const RETRY_MS = { first: 1_000, most: 30_000 } as const;
/** Pieces that wait for the connection to be made. */
const EARLY_MAX_BYTES = 32 * 1024 * 1024;

interface Row {
  readonly uid: string;
  readonly input: string;
  readonly enabled: number;
  readonly url: string;
  readonly sealed: string;
}

export function openOutputs(
  { meta, clock, secrets, log, config }: Pick<KernelSlice, "meta" | "clock" | "secrets" | "log" | "config">,
  live: () => Live,
): Outputs {
  const running = new Map<string, { readonly stop: AbortController; connected: boolean }>();
  const purpose = (uid: string): string => `stream live output ${uid}`;
  const outputOf = ({ uid, input, enabled, url, sealed }: Row): Output => ({
    ...{ uid, input, enabled: enabled === 1, url },
    streamKey: secrets.open(sealed, purpose(uid)),
  });

  async function list(input: string): Promise<Output[]> {
    const rows = await meta.all<Row>(
      "SELECT uid, input, enabled, url, sealed FROM stream_live_outputs WHERE input = ? ORDER BY created, uid",
      input,
    );
    return rows.map(outputOf);
  }

  async function get(input: string, uid: string): Promise<Output> {
    const row = await meta.get<Row>(
      "SELECT uid, input, enabled, url, sealed FROM stream_live_outputs WHERE uid = ? AND input = ?",
      ...[uid, input],
    );
    if (row === undefined) throw streamError("notFound", "Not Found: there is no such output");
    return outputOf(row);
  }

  /** Passes the broadcast on until it ends or the output is stopped. */
  function run(output: Output): void {
    if (!output.enabled || running.has(output.uid)) return;
    const state = { stop: new AbortController(), connected: false };
    running.set(output.uid, state);
    void keepPushing(output, state)
      .catch((error: unknown) => log.error("stream.output_failed", { output: output.uid, error }))
      .finally(() => {
        if (running.get(output.uid) === state) running.delete(output.uid);
      });
  }

  async function keepPushing({ uid, input, url, streamKey }: Output, state: { stop: AbortController; connected: boolean }): Promise<void> {
    const { signal } = state.stop;
    const target = pushable(url);
    let pause: number = RETRY_MS.first;
    while (target !== undefined && !signal.aborted) {
      const joined = listen(input);
      if (joined === undefined) return;
      try {
        const push = await openPush(target, streamKey, { allowPrivate: config["stream.private_addresses"], signal });
        const close = (): void => push.close();
        signal.addEventListener("abort", close, { once: true });
        if (signal.aborted) close();
        state.connected = true;
        pause = RETRY_MS.first;
        log.info("stream.output_connected", { input, output: uid });
        joined.to(push);
        await Promise.race([push.ended, joined.over.then(close)]);
        signal.removeEventListener("abort", close);
        await push.ended;
      } catch (error) {
        if (!signal.aborted) log.info("stream.output_unreachable", { input, output: uid, retry_ms: pause, why: String(error) });
      } finally {
        state.connected = false;
        joined.leave();
      }
      await rest(pause, signal);
      pause = Math.min(pause * 2, RETRY_MS.most);
    }
  }

  /** Hears a broadcast; what comes before the server is reached waits. */
  function listen(input: string) {
    let early: FlvTag[] = [];
    let bytes = 0;
    let push: Push | undefined;
    let end: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const leave = live().join(input, {
      take(tag) {
        if (push !== undefined) return push.take(tag);
        bytes += tag.data.length;
        if (bytes <= EARLY_MAX_BYTES) early.push(tag);
      },
      end,
    });
    return leave === undefined
      ? undefined
      : {
          leave,
          over,
          to(target: Push) {
            push = target;
            for (const tag of early) push.take(tag);
            early = [];
          },
        };
  }

  function halt(uid: string): void {
    running.get(uid)?.stop.abort();
    running.delete(uid);
  }

  return {
    async create(input, { url, streamKey, enabled = true }) {
      if (pushable(url) === undefined)
        throw streamError(
          "badRequest",
          "Bad Request: url must be rtmp:// or rtmps:// with the name of an application; outputs by SRT are not supported",
        );
      if ((await list(input)).length >= OUTPUTS_MAX)
        throw streamError("conflict", `Conflict: a live input has at most ${OUTPUTS_MAX} outputs`);
      const uid = newUid();
      await meta.run(
        "INSERT INTO stream_live_outputs (uid, input, created, enabled, url, sealed) VALUES (?, ?, ?, ?, ?, ?)",
        ...[uid, input, clock.now(), enabled ? 1 : 0, url, secrets.seal(streamKey, purpose(uid))],
      );
      const output = await get(input, uid);
      run(output);
      return output;
    },
    list,
    async change(input, uid, enabled) {
      await get(input, uid);
      await meta.run("UPDATE stream_live_outputs SET enabled = ? WHERE uid = ?", enabled ? 1 : 0, uid);
      const output = await get(input, uid);
      if (enabled) run(output);
      else halt(uid);
      return output;
    },
    async remove(input, uid) {
      await get(input, uid);
      await meta.run("DELETE FROM stream_live_outputs WHERE uid = ?", uid);
      halt(uid);
    },
    async removeAll(input) {
      for (const { uid } of await list(input)) halt(uid);
      await meta.run("DELETE FROM stream_live_outputs WHERE input = ?", input);
    },
    begun(input) {
      list(input).then(
        (outputs) => outputs.forEach(run),
        (error: unknown) => log.error("stream.output_failed", { input, error }),
      );
    },
    connected: (uid) => running.get(uid)?.connected === true,
    stop() {
      for (const uid of [...running.keys()]) halt(uid);
    },
  };
}

const rest = (ms: number, signal: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { ref: false, signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
