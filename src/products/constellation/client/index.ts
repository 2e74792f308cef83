/**
 * `@cloudflare/constellation`, for code inside of Workers: the documented client library, which npm does not have any more. A package
 * of its own, bundled by its users; nothing here knows the platform.
 */
export { InferenceSession, type RunOptions, run, type SessionOptions, type TensorsObject } from "./session.ts";
export { Tensor, type TensorOpts, TensorType } from "./tensor.ts";
