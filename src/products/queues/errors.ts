/**
 * Every documented error of Queues (docs/queues/reference/error-codes). REST shows code and message; the binding throws
 * "message (code)". Those marked own are not documented; 10064, 11004, 11009 and 1001xx as clients of the real API report them.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const queuesError = defineErrors("queues", {
  queueNotFound: { status: 404, apiCode: 10104, message: "Queue does not exist" },
  unauthorized: { status: 403, apiCode: 10106, message: "Unauthorized request" },
  queueIdMalformed: { status: 400, apiCode: 10107, message: "The queue ID in the request URL is not a valid queue identifier" },
  clientDisconnected: { status: 400, apiCode: 10201, message: "Client disconnected during request processing" },
  batchDelayInvalid: { status: 400, apiCode: 10202, message: "Invalid batch delay" },
  messageMetadataInvalid: { status: 400, apiCode: 10203, message: "Invalid message metadata" },
  messageSize: { status: 413, apiCode: 10204, message: "Message size out of bounds" },
  batchSize: { status: 413, apiCode: 10205, message: "Batch size out of bounds" },
  batchCount: { status: 413, apiCode: 10206, message: "Batch count out of bounds" },
  bodyInvalid: { status: 400, apiCode: 10207, message: "Request JSON body does not match expected schema" },
  bodyMalformed: { status: 400, apiCode: 10208, message: "Request body is not valid JSON" },
  overloaded: { status: 429, apiCode: 10250, message: "Too Many Requests", retryable: true },
  storageLimit: { status: 429, apiCode: 10251, message: "Storage Limit Exceeded", retryable: true },
  unknown: { status: 500, apiCode: 15000, message: "Unknown Internal Error" },
  scriptConsumes: {
    status: 403,
    apiCode: 10064,
    message: "Cannot delete this Worker as it is a consumer for a Queue. Remove it from the Queue's consumers first, then retry.",
  },
  consumerExists: { status: 409, apiCode: 11004, message: "workers.api.error.consumer_exists" },
  nameTaken: { status: 409, apiCode: 11009, message: "Queue name is already taken. Please use a different name and try again." },
  consumerSettings: { status: 400, apiCode: 100127, message: "The specified consumer settings are invalid." },
  queueSettings: { status: 400, apiCode: 100128, message: "The specified queue settings are invalid." },
  /** docs/queues/configuration/pause-purge; the code is own. */
  deliveryPaused: { status: 409, apiCode: 11020, message: "queue_delivery_paused" },
  // Own codes.
  invalidName: {
    status: 400,
    apiCode: 11021,
    message: "A queue's name has 1 to 63 letters, digits and dashes, and starts and ends with a letter or digit.",
  },
  notRenamable: { status: 400, apiCode: 11022, message: "A queue cannot be renamed." },
  tooManyQueues: { status: 400, apiCode: 11023, message: "The account's limit of queues is reached." },
  consumerNotFound: { status: 404, apiCode: 11024, message: "Consumer does not exist" },
  noPullConsumer: { status: 400, apiCode: 11025, message: "The queue has no consumer of type http_pull." },
  scriptNotFound: { status: 404, apiCode: 11026, message: "The consumer's Worker does not exist." },
  subscriptionNotFound: { status: 404, apiCode: 11028, message: "Event subscription does not exist" },
  eventUnknown: { status: 400, apiCode: 11029, message: "The source has no such event." },
  purgeUnconfirmed: { status: 400, apiCode: 11027, message: "Purging needs delete_messages_permanently: true." },
});
