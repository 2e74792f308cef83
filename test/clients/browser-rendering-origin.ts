/** A server of pages for tests of browsers: it serves what a test gives it and keeps what it was asked. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Origin {
  /** "127.0.0.1:41234". */
  readonly host: string;
  /** Requests so far, in order. */
  readonly requests: readonly IncomingMessage[];
  /** Serves the HTML under the path "/name"; gives the URL. */
  page(name: string, html: string): string;
  /** Serves by a function. */
  serve(name: string, answer: (request: IncomingMessage, response: ServerResponse) => void): string;
  /** Paths of the requests so far that begin with the path of the page. */
  asked(name: string): string[];
}

export async function openOrigin({ after }: { after(fn: () => Promise<void>): void }): Promise<Origin> {
  const answers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    const name = (request.url as string).slice(1).split(/[/?]/)[0] as string;
    const answer = answers.get(name);
    if (answer === undefined) response.writeHead(404).end();
    else answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(async () => {
    server.closeAllConnections();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const serve: Origin["serve"] = (name, answer) => {
    answers.set(name, answer);
    return `http://${host}/${name}`;
  };
  return {
    host,
    requests,
    serve,
    page: (name, html) =>
      serve(name, (_, response) => void response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(html)),
    asked: (name) =>
      requests
        .map(({ url }) => url as string)
        .filter((url) => url === `/${name}` || url.startsWith(`/${name}/`) || url.startsWith(`/${name}?`)),
  };
}
