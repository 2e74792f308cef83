/**
 * What the `email` handler of a Worker does with its message, as the dispatcher in its process passes it on: `POST /forward`,
 * `/reply` and `/reply-builder` with the event's id. Answers `{ messageId }`, or `{ error }`, which the Worker sees thrown.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import type { EmailActions } from "../../kernel/capabilities.ts";
import { bodyOf } from "../../kernel/workerd/request-body.ts";
import type { Events } from "./events.ts";

/** A message of 25 MiB in the builder's form, whose attachments are in base64. */
const BODY_MAX_BYTES = 36 * 1024 * 1024;

const headersSchema = z.array(z.tuple([z.string(), z.string()])).max(100);

export async function actOnEmail(events: Events, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url as string, "http://email");
  const answer = (body: { messageId: string } | { error: string }): void => {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
  const actions = events.emailActions(url.searchParams.get("id") ?? "");
  const body = await bodyOf(request, BODY_MAX_BYTES);
  if (actions === undefined) return answer({ error: "the email event is over" });
  if (body === undefined) return answer({ error: "email is larger than 25 MiB" });
  try {
    answer(await act(actions, url, body));
  } catch (error) {
    answer({ error: (error as Error).message });
  }
}

async function act(actions: EmailActions, { pathname, searchParams: query }: URL, body: Uint8Array): Promise<{ messageId: string }> {
  const text = (): string => Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8");
  switch (pathname) {
    case "/forward":
      return actions.forward(query.get("to") ?? "", headersSchema.parse(JSON.parse(text())));
    case "/reply":
      return actions.reply({ from: query.get("from") ?? "", to: query.get("to") ?? "", raw: body });
    default:
      return actions.reply({ builder: JSON.parse(text()) });
  }
}
