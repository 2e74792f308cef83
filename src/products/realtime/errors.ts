/**
 * Errors of Realtime. Those of the REST API in the envelope have codes of ours, because the real ones are not documented;
 * those of the `rtc` host are the strings of its OpenAPI document.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const realtimeError = defineErrors("realtime", {
  appNotFound: { status: 404, apiCode: 20001, message: "app not found" },
  keyNotFound: { status: 404, apiCode: 20002, message: "TURN key not found" },
  tooMany: { status: 400, apiCode: 20003, message: "the account has as many of these as it may" },
  invalid: { status: 400, apiCode: 20004, message: "invalid request" },
  notFound: { status: 404, apiCode: 20005, message: "not found" },
  exists: { status: 409, apiCode: 20006, message: "there is one of that name already" },
  inactive: { status: 400, apiCode: 20007, message: "the meeting is inactive" },
  notImplemented: { status: 501, apiCode: 20008, message: "not implemented by this version of Freehold" },
});

export type RtcErrorCode =
  | "unauthorized"
  | "not_found"
  | "decoding_error"
  | "invalid_params"
  | "session_error"
  | "invalid_session_description"
  | "not_found_track_error"
  | "empty_track_error"
  | "repeated_local_track_error"
  | "update_track_error"
  | "close_track_error"
  | "adapter_not_found"
  | "websocket_handshake_failed"
  | "too_many_requests"
  | "internal_error";

/** A failure as the `rtc` host answers it, for a whole request or for one of its items. */
export class RtcError extends Error {
  readonly status: number;
  readonly code: RtcErrorCode;

  constructor(status: number, code: RtcErrorCode, description: string) {
    super(description);
    this.name = "RtcError";
    this.status = status;
    this.code = code;
  }
}
