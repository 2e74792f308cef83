/** The capability `pageRenderer`: the action `content` for other products, one of the desk's as any client's. */
import type { PageRenderer } from "../../../kernel/capabilities.ts";
import type { Desk } from "./desk.ts";
import { schemaOf } from "./options.ts";

export function pageRenderer(desk: Desk): PageRenderer {
  return {
    async render(url, { userAgent, headers, signal }) {
      signal.throwIfAborted();
      const options = schemaOf("content").parse({ url, userAgent, gotoOptions: { waitUntil: "networkidle2" } });
      const { result } = await desk.run("content", options, headers);
      if (!("meta" in result)) throw new Error("the action content gives text");
      return { status: result.meta.status, html: String(result.result) };
    },
  };
}
