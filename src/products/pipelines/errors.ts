/**
 * Every error of Pipelines. Codes that wrangler 4.164.0 branches on are the real service's: 1000 (no such pipeline),
 * 1015 (no such sink), 1016 (no such stream), 1012 (table exists). The others are our own: nothing documents them.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const pipelinesError = defineErrors("pipelines", {
  pipelineNotFound: { status: 404, apiCode: 1000, message: "Pipeline does not exist" },
  sinkNotFound: { status: 404, apiCode: 1015, message: "Sink does not exist" },
  streamNotFound: { status: 404, apiCode: 1016, message: "Stream does not exist" },
  tableExists: { status: 400, apiCode: 1012, message: "writing to existing Catalog tables is not yet supported" },
  invalidName: { status: 400, apiCode: 1001, message: "name must contain only letters, numbers, and underscores" },
  invalidSchema: { status: 400, apiCode: 1002, message: "The schema is invalid" },
  invalidSink: { status: 400, apiCode: 1003, message: "The sink is invalid" },
  invalidSql: { status: 400, apiCode: 1004, message: "The SQL is invalid" },
  nameTaken: { status: 409, apiCode: 1005, message: "The name is already in use" },
  tooMany: { status: 400, apiCode: 1006, message: "The account's limit is reached" },
  bucketNotFound: { status: 400, apiCode: 1007, message: "The bucket does not exist" },
  catalogNotEnabled: { status: 400, apiCode: 1008, message: "The bucket has no active data catalog" },
  invalidCredentials: { status: 400, apiCode: 1009, message: "The sink's credentials are not valid for its bucket" },
  invalidHttp: { status: 400, apiCode: 1010, message: "The HTTP settings are invalid" },
  invalidPipeline: { status: 400, apiCode: 1011, message: "The pipeline is invalid" },
  tooManyTails: { status: 429, apiCode: 1013, message: "Too many tails of streams are open; end one", retryable: true },
});

/** What an ingest endpoint and a Worker's `send()` answer. The status is what clients act on. */
export const ingestError = defineErrors("pipelines.ingest", {
  notFound: { status: 404, apiCode: 1016, message: "Stream does not exist" },
  disabled: { status: 403, apiCode: 2001, message: "HTTP ingestion is not enabled for this stream" },
  bindingDisabled: { status: 403, apiCode: 2002, message: "The Worker binding is not enabled for this stream" },
  unauthenticated: { status: 401, apiCode: 10000, message: "Authentication error" },
  forbidden: { status: 403, apiCode: 10000, message: "The token does not have the Workers Pipelines Send permission" },
  originRefused: { status: 403, apiCode: 2003, message: "The origin is not allowed by the stream's CORS settings" },
  method: { status: 405, apiCode: 2004, message: "Events are sent with POST" },
  mediaType: { status: 415, apiCode: 2005, message: "The content type must be application/json" },
  malformed: { status: 400, apiCode: 2006, message: "The body is not valid JSON" },
  notArray: { status: 400, apiCode: 2007, message: "The body must be a JSON array of events" },
  notObject: { status: 400, apiCode: 2008, message: "Every event must be a JSON object" },
  tooDeep: { status: 400, apiCode: 2009, message: "An event is nested too deeply" },
  tooLarge: { status: 413, apiCode: 2010, message: "The payload is too large" },
  timeout: { status: 408, apiCode: 2011, message: "The body was not received in time" },
  rateLimited: { status: 429, apiCode: 2012, message: "The stream's ingest rate is exceeded", retryable: true },
  overloaded: { status: 429, apiCode: 2013, message: "The stream cannot take more events at the moment", retryable: true },
  bufferFull: { status: 429, apiCode: 2014, message: "The stream's buffer is full: its pipelines do not keep up", retryable: true },
  encoding: { status: 415, apiCode: 2016, message: "Compressed bodies are not supported: send events without Content-Encoding" },
  diskFull: { status: 507, apiCode: 2015, message: "The disk is full", retryable: true },
});
