/** An event that fits a stream's schema, and the command that sends it. */
import type { Field, Stream } from "./api.ts";

const samples: Readonly<Record<string, unknown>> = {
  string: "text",
  bool: true,
  timestamp: "2026-01-01T00:00:00Z",
  json: {},
  list: [],
  struct: {},
  binary: "aGVsbG8=",
  bytes: "aGVsbG8=",
};

const sampleEvent = (fields: readonly Field[] | undefined): Record<string, unknown> =>
  fields === undefined
    ? { hello: "world" }
    : Object.fromEntries(fields.map(({ name, type }) => [name, type in samples ? samples[type] : 1]));

export function sendCommand({ endpoint, http, schema }: Stream): string {
  const body = JSON.stringify([sampleEvent(schema?.fields)]).replaceAll("'", "'\\''");
  const authorization = http.authentication ? ' -H "Authorization: Bearer $TOKEN"' : "";
  return `curl ${endpoint} -H "Content-Type: application/json"${authorization} -d '${body}'`;
}
