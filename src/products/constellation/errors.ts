/**
 * Errors of Constellation. 7408 and 7409 are what wrangler looks for; the real service's other codes are not known. What goes
 * wrong with a model or its inputs (`run…`) is the caller's to read through the client library: `API returned {status}: {body}`.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const constellationError = defineErrors("constellation", {
  invalid: { status: 400, apiCode: 7400, message: "The request is invalid" },
  projectNotFound: { status: 404, apiCode: 7404, message: "The project was not found" },
  modelNotFound: { status: 404, apiCode: 7405, message: "The model was not found" },
  modelExists: { status: 409, apiCode: 7408, message: "A model with that name already exists" },
  projectExists: { status: 409, apiCode: 7409, message: "A project with that name already exists" },
  tooLarge: { status: 413, apiCode: 7413, message: "The model is too large" },
  /** The file is no model that the project's runtime can load. */
  badModel: { status: 400, apiCode: 7422, message: "The model cannot be loaded" },
  noRuntime: {
    status: 501,
    apiCode: 7501,
    message: "ONNX models need the package onnxruntime-web: install it beside Freehold, or name its directory in constellation.onnxruntime",
  },
  binding: { status: 400, apiCode: 10021, message: "The constellation binding is invalid." },
  runInvalid: { status: 400, apiCode: 7430, message: "The model cannot run with these inputs" },
  runTooLarge: { status: 413, apiCode: 7431, message: "The tensors are too large" },
  busy: { status: 429, apiCode: 7432, message: "Too many runs wait already" },
  /** The model's thread was ended: it took too long or too much memory. */
  runEnded: { status: 422, apiCode: 7433, message: "The run was ended" },
});
