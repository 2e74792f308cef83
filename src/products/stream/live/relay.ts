/**
 * Passes a broadcast on to whoever joins it: other servers, and viewers who play what encoders send. Each begins with what
 * decoders need and the newest key frame. A listener never holds the broadcast up: who cannot keep up has to say so itself.
 */
import { type FlvTag, isConfig, isKeyFrame } from "./flv.ts";

export interface Listener {
  take(tag: FlvTag): void;
  /** The broadcast is over. */
  end(): void;
}

export interface Relay {
  take(tag: FlvTag): void;
  /** Answers how to leave. */
  join(listener: Listener): () => void;
  end(): void;
}

/** Of the newest group of pictures: a longer one is not sent to those who join in its midst. */
const GROUP_MAX_BYTES = 32 * 1024 * 1024;

export function openRelay(): Relay {
  const listeners = new Set<Listener>();
  const configs = new Map<FlvTag["type"], FlvTag>();
  let group: FlvTag[] = [];
  let bytes = 0;
  return {
    take(tag) {
      if (isConfig(tag)) configs.set(tag.type, tag);
      else {
        if (isKeyFrame(tag)) {
          group = [];
          bytes = 0;
        }
        bytes += tag.data.length;
        if (bytes <= GROUP_MAX_BYTES && (group.length > 0 || isKeyFrame(tag))) group.push(tag);
        else group = [];
      }
      for (const listener of listeners) listener.take(tag);
    },
    join(listener) {
      let base: number | undefined;
      // Times count from where it joined.
      const pass = (tag: FlvTag): void => {
        if (base === undefined && !isConfig(tag)) base = tag.time;
        listener.take({ ...tag, time: base === undefined ? 0 : Math.max(0, tag.time - base) });
      };
      for (const type of [18, 9, 8] as const) {
        const config = configs.get(type);
        if (config !== undefined) pass(config);
      }
      for (const tag of group) pass(tag);
      const joined: Listener = { take: pass, end: () => listener.end() };
      listeners.add(joined);
      return () => void listeners.delete(joined);
    },
    end() {
      for (const listener of listeners) listener.end();
      listeners.clear();
    },
  };
}
