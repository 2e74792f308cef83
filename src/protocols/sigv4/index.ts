/** AWS Signature Version 4, verifying side, and the aws-chunked body coding. Wire format only: no storage, no permissions. */
export { headerValue, queryPairs, type RawRequest, uriDecode, uriEncode } from "./canonical.ts";
export { ChunkedDecoder } from "./chunked.ts";
export { incompleteBody, payloadHashMismatch, SignatureError, type SignatureFailure } from "./errors.ts";
export { type Authentication, isSigned, type Payload, parseAuthentication, type VerifiedSignature, verify } from "./verify.ts";
