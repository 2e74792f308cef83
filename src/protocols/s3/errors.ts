/** The S3 error document, and refusals that come from the protocol itself rather than from what is stored. */

export interface S3Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Elements after `<Message>`, in order. */
  readonly details?: Readonly<Record<string, string>>;
}

export class S3Error extends Error {
  readonly failure: S3Failure;

  constructor(failure: S3Failure) {
    super(failure.message);
    this.name = "S3Error";
    this.failure = failure;
  }
}

const s3Error = (status: number, code: string, message: string): S3Error => new S3Error({ status, code, message });

/** What R2 answers for everything that it knows by name and does not have. */
export const notImplemented = (what: string): S3Error => s3Error(501, "NotImplemented", `${what} not implemented`);

export const notImplementedHeader = (name: string, value: string): S3Error => notImplemented(`Header '${name}' with value '${value}'`);

export const routeNotFound = (): S3Error => s3Error(404, "RouteNotFound", "No route matches this url.");

export const invalidArgument = (message: string): S3Error => s3Error(400, "InvalidArgument", message);

export const invalidRequest = (message: string): S3Error => s3Error(400, "InvalidRequest", message);

export const malformedXml = (): S3Error =>
  s3Error(400, "MalformedXML", "The XML you provided was not well formed or did not validate against our published schema.");

export const invalidMaxKeys = (name = "MaxKeys"): S3Error =>
  s3Error(400, "InvalidMaxKeys", `${name} params must be positive integer <= 1000.`);
