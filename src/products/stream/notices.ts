/**
 * The account's webhook: told of every video that has become ready or failed (docs: Use webhooks). A notice is a row in the
 * transaction that ends the video's processing, so that it is sent at least once also after a crash: at once, then after
 * growing pauses. The body is the video as it is when it is sent.
 */
import { createHmac, randomBytes } from "node:crypto";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";
import { fetchable, type Remote, RemoteError } from "./remote.ts";
import type { VideoView } from "./views.ts";

export interface Webhook {
  readonly notificationUrl: string;
  readonly modified: string;
  readonly secret: string;
}

export interface Notices {
  /** Notes that a video is done; the function that it resolves with is to be called after the commit. */
  add(tx: MetaTransaction, uid: string): Promise<() => void>;
  set(url: string): Promise<Webhook>;
  /** Throws `stream.notFound` where there is none. */
  get(): Promise<Webhook>;
  remove(): Promise<void>;
  /** Sends what was left by the process before. */
  start(): void;
  stop(): Promise<void>;
}

const PAUSES_MS = [5_000, 30_000, 120_000, 600_000, 3_600_000];
const WAITING_MAX = 10_000;
const SETTING = "webhook";

export function openNotices(kernel: KernelSlice, show: (uid: string) => Promise<VideoView | undefined>, remote: Remote): Notices {
  const { meta, clock, secrets, log } = kernel;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let stopped = false;

  async function read(): Promise<Webhook | undefined> {
    const row = await meta.get<{ value: string }>("SELECT value FROM stream_settings WHERE name = ?", SETTING);
    if (row === undefined) return undefined;
    const { sealed, ...rest } = JSON.parse(row.value) as Omit<Webhook, "secret"> & { sealed: string };
    return { ...rest, secret: secrets.open(sealed, "stream webhook") };
  }

  async function send(hook: Webhook, uid: string): Promise<boolean> {
    const view = await show(uid);
    if (view === undefined) return true;
    const body = JSON.stringify(view);
    const time = Math.floor(clock.now() / 1000);
    const signature = createHmac("sha256", hook.secret).update(`${time}.${body}`).digest("hex");
    const headers = {
      "content-type": "application/json",
      "webhook-signature": `time=${time},sig1=${signature}`,
      "user-agent": "Freehold-Stream",
    };
    try {
      const status = await remote.post(new URL(hook.notificationUrl), body, headers);
      if (status < 300) return true;
      log.info("stream.webhook_refused", { uid, status });
    } catch (error) {
      if (!(error instanceof RemoteError)) throw error;
      log.info("stream.webhook_failed", { uid, error: error.message });
    }
    return false;
  }

  async function drain(): Promise<void> {
    while (!stopped) {
      const row = await meta.get<{ id: number; at: number; attempts: number; body: string }>(
        "SELECT * FROM stream_notices ORDER BY at, id LIMIT 1",
      );
      if (row === undefined) return;
      if (row.at > clock.now()) return void wakeIn(row.at - clock.now());
      const hook = await read();
      const pause = PAUSES_MS[row.attempts];
      if (hook === undefined || (await send(hook, row.body)) || pause === undefined)
        await meta.run("DELETE FROM stream_notices WHERE id = ?", row.id);
      else await meta.run("UPDATE stream_notices SET at = ?, attempts = attempts + 1 WHERE id = ?", clock.now() + pause, row.id);
    }
  }

  function wake(): void {
    if (stopped) return;
    sending ??= drain()
      .catch((error: unknown) => {
        log.warn("stream.notices_failed", { error });
        wakeIn(PAUSES_MS[0] as number);
      })
      .finally(() => {
        sending = undefined;
      });
  }

  function wakeIn(ms: number): void {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(wake, Math.min(ms, 3_600_000)).unref();
  }

  return {
    async add(tx, uid) {
      const hook = await tx.get("SELECT name FROM stream_settings WHERE name = ?", SETTING);
      if (hook === undefined) return () => undefined;
      await tx.run(
        `INSERT INTO stream_notices (at, attempts, body) SELECT ?, 0, ? WHERE (SELECT COUNT(*) FROM stream_notices) < ${WAITING_MAX}`,
        ...[clock.now(), uid],
      );
      // The sending that is under way may have looked before the row was there.
      return () => void (sending ?? Promise.resolve()).then(wake);
    },
    async set(url) {
      if (fetchable(url) === undefined) throw streamError("badRequest", "Bad Request: notificationUrl must be a URL of http or https");
      const secret = randomBytes(16).toString("hex");
      const hook = { notificationUrl: url, modified: new Date(clock.now()).toISOString() };
      await meta.run(
        "INSERT INTO stream_settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        ...[SETTING, JSON.stringify({ ...hook, sealed: secrets.seal(secret, "stream webhook") })],
      );
      return { ...hook, secret };
    },
    async get() {
      const hook = await read();
      if (hook === undefined) throw streamError("notFound", "Not Found: there is no webhook");
      return hook;
    },
    async remove() {
      const { changes } = await meta.run("DELETE FROM stream_settings WHERE name = ?", SETTING);
      if (changes === 0) throw streamError("notFound", "Not Found: there is no webhook");
    },
    start: wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await sending;
    },
  };
}
