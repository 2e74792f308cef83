/** Tells the account of its live inputs: who has connected, left, or sends what cannot be played (docs: Receive Live Webhooks). */

import type { Notifier } from "../../../kernel/capabilities.ts";
import type { Clock } from "../../../kernel/clock.ts";
import type { Log } from "../../../kernel/log.ts";

/** The SDK's name of the alert. */
const ALERT = "stream_live_notifications";
/** The documentation's name in what is sent. */
const NAME = "Stream Live Input";

const ERRORS = {
  ERR_UNSUPPORTED_VIDEO_CODEC: "The input video codec is unsupported for the protocol used.",
  ERR_UNSUPPORTED_AUDIO_CODEC: "The input audio codec is unsupported for the protocol used.",
} as const;
export type LiveError = keyof typeof ERRORS;

export interface LiveNotices {
  connected(input: string): void;
  disconnected(input: string): void;
  errored(input: string, code: LiveError, codecs: { readonly video: string; readonly audio: string }): void;
}

export function liveNotices(notifier: Notifier, clock: Clock, log: Log): LiveNotices {
  notifier.addAlerts("Stream", [
    { type: ALERT, display_name: "Stream Live Notifications", description: "A live input connected, disconnected or had an error." },
  ]);

  function tell(input: string, event: string, more: { readonly lines?: readonly string[]; readonly data?: object } = {}): void {
    const at = new Date(clock.now()).toISOString();
    const lines = [
      `Notification type: ${NAME}`,
      `Input ID: ${input}`,
      `Event type: live_input.${event}`,
      `Updated at: ${at}`,
      ...(more.lines ?? []),
    ];
    const data = { notification_name: NAME, input_id: input, event_type: `live_input.${event}`, updated_at: at, ...more.data };
    // The broadcast does not wait for it.
    notifier.notify(ALERT, { text: lines.join("\n"), data }).catch((error: unknown) => log.warn("stream.notice_failed", { input, error }));
  }

  return {
    connected: (input) => tell(input, "connected"),
    disconnected: (input) => tell(input, "disconnected"),
    errored(input, code, { video, audio }) {
      const message = ERRORS[code];
      tell(input, "errored", {
        lines: [`Error Code: ${code}`, `Error Message: ${message}`, `Video Codec: ${video}`, `Audio Codec: ${audio}`],
        data: { live_input_errored: { error: { code, message }, video_codec: video, audio_codec: audio } },
      });
    },
  };
}
