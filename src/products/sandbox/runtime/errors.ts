/**
 * Failures as the SDK's client knows them: a code, its HTTP status and a text, in one JSON object. The client makes a class of its
 * own out of each code (`packages/shared/src/errors` of cloudflare/sandbox-sdk); a code that is not here never leaves the runtime.
 */
const STATUS = {
  FILE_NOT_FOUND: 404,
  IS_DIRECTORY: 400,
  NOT_DIRECTORY: 400,
  FILE_TOO_LARGE: 413,
  FILESYSTEM_ERROR: 500,
  PERMISSION_DENIED: 403,
  COMMAND_EXECUTION_ERROR: 500,
  INVALID_COMMAND: 400,
  PROCESS_NOT_FOUND: 404,
  SESSION_ALREADY_EXISTS: 409,
  SESSION_DESTROYED: 410,
  SESSION_TERMINATED: 410,
  INVALID_GIT_URL: 400,
  GIT_AUTH_FAILED: 401,
  GIT_BRANCH_NOT_FOUND: 404,
  GIT_CLONE_FAILED: 500,
  GIT_NETWORK_ERROR: 502,
  GIT_OPERATION_FAILED: 500,
  GIT_REPOSITORY_NOT_FOUND: 404,
  BACKUP_CREATE_FAILED: 500,
  BACKUP_RESTORE_FAILED: 500,
  INVALID_BACKUP_CONFIG: 400,
  CONTEXT_NOT_FOUND: 404,
  CODE_EXECUTION_ERROR: 500,
  PYTHON_NOT_AVAILABLE: 501,
  WATCH_START_ERROR: 500,
  VALIDATION_FAILED: 400,
  UNKNOWN_ERROR: 500,
  INTERNAL_ERROR: 500,
} as const;

export type ErrorCode = keyof typeof STATUS;

export class RuntimeError extends Error {
  readonly code: ErrorCode;
  readonly context: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, context: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = "RuntimeError";
    this.code = code;
    this.context = context;
  }

  get status(): number {
    return STATUS[this.code];
  }

  toJSON(): object {
    const { code, message, context, status } = this;
    return { code, message, context, httpStatus: status, timestamp: new Date().toISOString() };
  }
}

/** Whatever was thrown, as an error that can be sent. */
export function asRuntimeError(error: unknown): RuntimeError {
  if (error instanceof RuntimeError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new RuntimeError("INTERNAL_ERROR", message, { originalError: message }, { cause: error });
}

/** The documented error of a request whose fields are not what they must be. */
export function invalid(message: string, context: Record<string, unknown> = {}): RuntimeError {
  return new RuntimeError("VALIDATION_FAILED", message, context);
}
