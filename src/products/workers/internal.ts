/** What trusted Workers inside the processes send to the platform: traces of invocations. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Claims } from "../../kernel/product.ts";
import type { Stacks } from "./source-maps.ts";
import type { Tails, TraceItem } from "./tails.ts";

/** A batch of traces is as large as the logs of its invocations, which the runtime limits to 256 KB each. */
const BATCH_MAX_BYTES = 16 * 1024 * 1024;

export async function receiveTraces(
  claims: Claims,
  request: IncomingMessage,
  response: ServerResponse,
  tails: Tails,
  stacks: Stacks,
): Promise<void> {
  if (claims.kind !== "tail") {
    response.writeHead(403).end();
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= BATCH_MAX_BYTES) chunks.push(chunk);
  }
  response.writeHead(204).end();
  if (size > BATCH_MAX_BYTES) return;
  const [scriptId, versionId] = [String(claims.scriptId), String(claims.versionId)];
  const items = JSON.parse(Buffer.concat(chunks).toString("utf8")) as TraceItem[];
  tails.publish(scriptId, versionId, await stacks.original(scriptId, versionId, items));
}
