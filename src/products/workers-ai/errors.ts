/**
 * Errors of Workers AI: codes, statuses and words of the documented list (workers-ai/platform/errors); 5006, 5021 and 5024
 * are what callers of the real service see for inputs that do not fit, a full context window and JSON that did not come about.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const aiError = defineErrors("workersAi", {
  incomplete: { status: 400, apiCode: 3003, message: "Request is missing headers or body" },
  tooLarge: { status: 413, apiCode: 3006, message: "Request is too large" },
  timeout: { status: 408, apiCode: 3007, message: "Request timeout" },
  aborted: { status: 408, apiCode: 3008, message: "Request was aborted" },
  allocationUsed: {
    status: 429,
    apiCode: 3036,
    message:
      "You have used up your daily free allocation of 10,000 neurons. Please upgrade to Cloudflare's Workers Paid plan if you would like to continue usage.",
  },
  finetuneFiles: { status: 400, apiCode: 3039, message: "Finetune is missing required files (model.safetensors and config.json)" },
  outOfCapacity: { status: 429, apiCode: 3040, message: "No more data centers to forward the request to" },
  invalidBase64: { status: 400, apiCode: 5004, message: "Invalid data type for base64 input" },
  loraUnsupported: { status: 405, apiCode: 5005, message: "The model does not support LoRa inference" },
  invalidInput: { status: 400, apiCode: 5006, message: "Invalid input" },
  noSuchModel: { status: 400, apiCode: 5007, message: "No such model or task" },
  /** Ours is the text: the operator has named nothing that runs the model. */
  noRunner: { status: 403, apiCode: 5018, message: "The account is not allowed to access this model" },
  contextWindow: { status: 413, apiCode: 5021, message: "The input exceeded this model context window limit" },
  jsonMode: { status: 400, apiCode: 5024, message: "JSON Mode couldn't be met" },
  // Own codes.
  rateLimited: { status: 429, apiCode: 3049, message: "Rate limited" },
  runnerFailed: { status: 502, apiCode: 3050, message: "What runs the model failed" },
  notFound: { status: 404, apiCode: 3051, message: "Not found" },
  tooMany: { status: 400, apiCode: 3052, message: "The account's limit is reached" },
  finetuneExists: { status: 409, apiCode: 3053, message: "A finetune with this name already exists" },
  notImplemented: { status: 501, apiCode: 3054, message: "Not implemented by this version of Freehold" },
});
