/** Clients of MoQ Transport draft-07 in Rust, by the program in `moq/`: each a session, told by lines, telling by lines. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { rustProgram } from "../../harness/rust.ts";

export interface MediaObject {
  readonly track: string;
  readonly group: number;
  readonly object: number;
  readonly payload: string;
}

export interface Peer {
  /** Every line so far; those of "log" are the library's, of messages on the wire. */
  readonly lines: readonly string[];
  tell(...words: readonly (string | number)[]): void;
  /** The first line from `from` on that the pattern fits, now or later. Rejects when the peer ends without it. */
  line(pattern: RegExp, from?: number): Promise<RegExpExecArray>;
  /** Objects of a track so far. */
  objects(track: string): readonly MediaObject[];
  /** Resolves when there are so many. */
  received(track: string, count: number): Promise<readonly MediaObject[]>;
  stop(): Promise<void>;
}

const DEADLINE_MS = 60_000;

export const hex = (text: string | Uint8Array): string => Buffer.from(text as string).toString("hex");

/** Connects to the URL, trusting the certificate of that file alone. */
export async function startPeer(url: string, certificate: string): Promise<Peer> {
  const child = spawn(await rustProgram("moq", "moq-peer"), [url, certificate], { stdio: ["pipe", "pipe", "pipe"] });
  const lines: string[] = [];
  const objects: MediaObject[] = [];
  const watchers = new Set<() => void>();
  let ended: string | undefined;
  let complaints = "";
  child.stderr.on("data", (data: Buffer) => (complaints += data.toString()));
  const out = createInterface(child.stdout);
  out.on("line", (line) => {
    lines.push(line);
    const [kind, track = "", group, object, payload = ""] = line.split(" ");
    if (kind === "object")
      objects.push({ track, group: Number(group), object: Number(object), payload: Buffer.from(payload, "hex").toString() });
    for (const watcher of [...watchers]) watcher();
  });
  child.once("close", (code) => {
    ended = `the peer ended with ${code}: ${complaints}`;
    for (const watcher of [...watchers]) watcher();
  });
  child.stdin.on("error", () => {});

  function until<T>(look: () => T | undefined, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        ended ??= "the peer does not go on";
        watcher();
      }, DEADLINE_MS);
      const watcher = (): void => {
        const found = look();
        if (found === undefined && ended === undefined) return;
        clearTimeout(late);
        watchers.delete(watcher);
        if (found !== undefined) resolve(found);
        else reject(new Error(`${ended}; there was no ${what} in\n${lines.slice(-20).join("\n")}`));
      };
      watchers.add(watcher);
      watcher();
    });
  }

  const ofTrack = (track: string): MediaObject[] => objects.filter((one) => one.track === track);
  return {
    lines,
    tell: (...words) => void child.stdin.write(`${words.join(" ")}\n`),
    line: (pattern, from = 0) =>
      until(() => {
        for (const line of lines.slice(from)) {
          const found = pattern.exec(line);
          if (found !== null) return found;
        }
        return undefined;
      }, String(pattern)),
    objects: ofTrack,
    received: (track, count) => until(() => (ofTrack(track).length >= count ? ofTrack(track) : undefined), `${count} objects of ${track}`),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.stdin.end();
      await closed;
    },
  };
}
