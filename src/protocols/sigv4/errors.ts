/**
 * What can be wrong with a signed request, with the S3 code, status and words that R2 answers. The S3 door
 * renders it; this folder knows neither XML nor products.
 */

export interface SignatureFailure {
  readonly status: number;
  /** The `<Code>` of the S3 error document. */
  readonly code: string;
  readonly message: string;
  /** Elements after `<Message>`, in order; only for SignatureDoesNotMatch. */
  readonly details?: Readonly<Record<string, string>>;
}

export class SignatureError extends Error {
  readonly failure: SignatureFailure;

  constructor(failure: SignatureFailure) {
    super(failure.message);
    this.name = "SignatureError";
    this.failure = failure;
  }
}

export const invalidArgument = (message: string): SignatureError => new SignatureError({ status: 400, code: "InvalidArgument", message });

export const invalidRequest = (message: string): SignatureError => new SignatureError({ status: 400, code: "InvalidRequest", message });

/** An unknown key, or a request whose signature leaves the host open. R2 does not say which. */
export const unauthorized = (): SignatureError => new SignatureError({ status: 401, code: "Unauthorized", message: "Unauthorized" });

/** docs/r2/api/error-codes: 10018, status 400. */
export const expiredRequest = (): SignatureError =>
  new SignatureError({ status: 400, code: "ExpiredRequest", message: "Request has expired" });

export const requestTimeTooSkewed = (): SignatureError =>
  new SignatureError({
    status: 403,
    code: "RequestTimeTooSkewed",
    message: "The difference between the request time and the server's time is too large.",
  });

export const payloadHashMismatch = (): SignatureError =>
  new SignatureError({
    status: 400,
    code: "XAmzContentSHA256Mismatch",
    message: "The provided 'x-amz-content-sha256' header does not match what was computed.",
  });

export const signatureDoesNotMatch = (details?: Readonly<Record<string, string>>): SignatureError =>
  new SignatureError({
    status: 403,
    code: "SignatureDoesNotMatch",
    message:
      "The request signature we calculated does not match the signature you provided. Check your secret access key and signing method.",
    ...(details && { details }),
  });

export const incompleteBody = (
  message = "You did not provide the number of bytes specified by the Content-Length HTTP header",
): SignatureError => new SignatureError({ status: 400, code: "IncompleteBody", message });
