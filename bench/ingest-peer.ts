/**
 * The yardstick of ingest (design, decision 8): the least that a durable ingest server on Node can be. One file, one
 * handler: reads the body, parses it, appends it to a file, answers after a group `fdatasync`. `node ingest-peer.ts
 * <file>` prints its port.
 */
import { closeSync, fdatasync, openSync, writev } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

function serve(path: string): void {
  const file = openSync(path, "w");
  let waiting: { body: Buffer; response: ServerResponse; count: number }[] = [];
  let busy = false;
  const flush = (): void => {
    if (busy || waiting.length === 0) return;
    busy = true;
    const group = waiting;
    waiting = [];
    writev(
      file,
      group.map((one) => one.body),
      (writeError) => {
        if (writeError) throw writeError;
        fdatasync(file, (syncError) => {
          if (syncError) throw syncError;
          for (const { response, count } of group) {
            const answer = `{"success":true,"result":{"committed":${count}}}`;
            response.writeHead(200, { "content-type": "application/json", "content-length": answer.length }).end(answer);
          }
          busy = false;
          flush();
        });
      },
    );
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      const events = JSON.parse(body.toString()) as unknown[];
      waiting.push({ body, response, count: events.length });
      if (!busy) setImmediate(flush);
    });
  });
  server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
  process.on("SIGTERM", () => {
    closeSync(file);
    process.exit(0);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(process.argv[2] as string);
