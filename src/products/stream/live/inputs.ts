/** Live inputs as rows: what a broadcast may do, and the key that lets an encoder in. Who is live is `live.ts`'s to know. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { KernelSlice } from "../../../kernel/product.ts";
import { streamError } from "../errors.ts";
import { DELETION } from "../limits.ts";
import { isUid, newUid } from "../videos.ts";

const days = z.number().int().min(DELETION.days.min).max(DELETION.days.max);
export const inputSchema = z.object({
  meta: z.record(z.string(), z.unknown()).optional(),
  enabled: z.boolean().optional(),
  preferLowLatency: z.boolean().optional(),
  deleteRecordingAfterDays: days.nullish(),
  // The documentation's spelling, and the SDK's.
  DefaultCreator: z.string().max(64).optional(),
  defaultCreator: z.string().max(64).optional(),
  recording: z
    .object({
      mode: z.enum(["off", "automatic"]).optional(),
      timeoutSeconds: z.number().int().min(0).max(86_400).optional(),
      requireSignedURLs: z.boolean().optional(),
      allowedOrigins: z.array(z.string().max(253)).max(100).nullish(),
      hideLiveViewerCount: z.boolean().optional(),
    })
    .optional(),
});

export interface Recording {
  readonly mode: "off" | "automatic";
  readonly timeoutSeconds: number;
  readonly requireSignedURLs: boolean;
  readonly allowedOrigins: readonly string[] | null;
  readonly hideLiveViewerCount: boolean;
}

export interface InputSettings {
  readonly meta: Readonly<Record<string, unknown>>;
  readonly enabled: boolean;
  readonly preferLowLatency: boolean;
  readonly deleteRecordingAfterDays: number | null;
  readonly defaultCreator: string | null;
  readonly recording: Recording;
}

export interface LiveInput extends InputSettings {
  readonly uid: string;
  readonly created: number;
  readonly modified: number;
  /** Lets an encoder in by RTMPS. */
  readonly streamKey: string;
  readonly keys: DerivedKeys;
}

/** What else lets somebody in: each is of no use for the others. */
export interface DerivedKeys {
  /** Passphrases are at most 79 characters. */
  readonly srt: string;
  readonly rtmpsPlayback: string;
  readonly srtPlayback: string;
  readonly webRtc: string;
}

export interface LiveInputs {
  create(given: z.infer<typeof inputSchema>): Promise<LiveInput>;
  find(uid: string): Promise<LiveInput | undefined>;
  /** Throws `stream.notFound`. */
  get(uid: string): Promise<LiveInput>;
  list(search: string | undefined): Promise<LiveInput[]>;
  change(uid: string, given: z.infer<typeof inputSchema>): Promise<LiveInput>;
  remove(uid: string): Promise<void>;
  /** The input that a key is of, and what for. */
  ofKey(key: string): Promise<{ readonly input: LiveInput; readonly use: "publish" | keyof DerivedKeys } | undefined>;
}

const INPUTS_MAX = 1000;

const DEFAULTS: InputSettings = {
  meta: {},
  enabled: true,
  preferLowLatency: false,
  deleteRecordingAfterDays: null,
  defaultCreator: null,
  recording: { mode: "off", timeoutSeconds: 0, requireSignedURLs: false, allowedOrigins: null, hideLiveViewerCount: false },
};

interface Row {
  readonly uid: string;
  readonly created: number;
  readonly modified: number;
  readonly sealed: string;
  readonly settings: string;
}

export function openLiveInputs({ meta, clock, secrets }: Pick<KernelSlice, "meta" | "clock" | "secrets">): LiveInputs {
  const purpose = (uid: string): string => `stream live input ${uid}`;

  function inputOf({ uid, created, modified, sealed, settings }: Row): LiveInput {
    const secret = secrets.open(sealed, purpose(uid));
    // The id is part of each key, so that its row is found.
    const derived = (use: string): string => `${createHmac("sha256", secret).update(use).digest("hex").slice(0, 32)}k${uid}`;
    return {
      uid,
      created,
      modified,
      ...(JSON.parse(settings) as InputSettings),
      streamKey: `${secret}k${uid}`,
      keys: {
        srt: derived("srt"),
        rtmpsPlayback: derived("rtmps playback"),
        srtPlayback: derived("srt playback"),
        webRtc: derived("webrtc"),
      },
    };
  }

  async function find(uid: string): Promise<LiveInput | undefined> {
    const row = await meta.get<Row>("SELECT uid, created, modified, sealed, settings FROM stream_live_inputs WHERE uid = ?", uid);
    return row === undefined ? undefined : inputOf(row);
  }

  async function get(uid: string): Promise<LiveInput> {
    const input = await find(uid);
    if (input === undefined) throw streamError("notFound", "Not Found: there is no such live input");
    return input;
  }

  const nameOf = ({ meta: { name } }: InputSettings): string => (typeof name === "string" ? name : "");

  return {
    async create(given) {
      const { n } = (await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM stream_live_inputs")) ?? { n: 0 };
      if (n >= INPUTS_MAX) throw streamError("conflict", `Conflict: the account has ${INPUTS_MAX} live inputs, the most there can be`);
      const uid = newUid();
      const settings = merged(DEFAULTS, given);
      const now = clock.now();
      await meta.run(
        "INSERT INTO stream_live_inputs (uid, created, modified, name, sealed, settings) VALUES (?, ?, ?, ?, ?, ?)",
        ...[uid, now, now, nameOf(settings), secrets.seal(randomBytes(24).toString("hex"), purpose(uid)), JSON.stringify(settings)],
      );
      return get(uid);
    },
    find,
    get,
    async list(search) {
      const rows = await meta.all<Row>(
        `SELECT uid, created, modified, sealed, settings FROM stream_live_inputs ORDER BY created DESC, uid LIMIT ${INPUTS_MAX}`,
      );
      const wanted = search?.toLowerCase();
      return rows
        .map(inputOf)
        .filter((input) => wanted === undefined || nameOf(input).toLowerCase().includes(wanted) || input.uid === wanted);
    },
    async change(uid, given) {
      const settings = merged(await get(uid), given);
      await meta.run(
        "UPDATE stream_live_inputs SET modified = ?, name = ?, settings = ? WHERE uid = ?",
        ...[clock.now(), nameOf(settings), JSON.stringify(settings), uid],
      );
      return get(uid);
    },
    async remove(uid) {
      await get(uid);
      await meta.run("DELETE FROM stream_live_inputs WHERE uid = ?", uid);
    },
    async ofKey(key) {
      const uid = key.slice(-32);
      const input = isUid(uid) ? await find(uid) : undefined;
      if (input === undefined) return undefined;
      const all = { publish: input.streamKey, ...input.keys };
      const use = (Object.keys(all) as (keyof typeof all)[]).find((name) => same(key, all[name]));
      return use === undefined ? undefined : { input, use };
    },
  };
}

function same(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function merged(before: InputSettings, given: z.infer<typeof inputSchema>): InputSettings {
  const { recording: recorded = {} } = given;
  return {
    meta: given.meta ?? before.meta,
    enabled: given.enabled ?? before.enabled,
    preferLowLatency: given.preferLowLatency ?? before.preferLowLatency,
    deleteRecordingAfterDays:
      given.deleteRecordingAfterDays === undefined ? before.deleteRecordingAfterDays : given.deleteRecordingAfterDays,
    defaultCreator: given.defaultCreator ?? given.DefaultCreator ?? before.defaultCreator,
    recording: {
      mode: recorded.mode ?? before.recording.mode,
      timeoutSeconds: recorded.timeoutSeconds ?? before.recording.timeoutSeconds,
      requireSignedURLs: recorded.requireSignedURLs ?? before.recording.requireSignedURLs,
      allowedOrigins: recorded.allowedOrigins === undefined ? before.recording.allowedOrigins : recorded.allowedOrigins,
      hideLiveViewerCount: recorded.hideLiveViewerCount ?? before.recording.hideLiveViewerCount,
    },
  };
}
