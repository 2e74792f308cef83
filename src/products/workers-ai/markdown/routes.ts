/** REST of conversions to Markdown: `/accounts/{account}/ai/tomarkdown`, a form with files and options. */
import { page } from "../../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../../kernel/product.ts";
import { jsonOf } from "../answers.ts";
import { aiError } from "../errors.ts";
import { BASE, READ } from "../routes.ts";
import { checked } from "../task.ts";
import { supported } from "./formats.ts";
import { conversionOptions, type Markdown } from "./markdown.ts";

export function markdownRoutes(markdown: Markdown, requestMaxBytes: number): Route[] {
  return [
    {
      op: "workersAi.toMarkdown",
      method: "POST",
      path: `${BASE}/tomarkdown`,
      permission: READ,
      async handle(context) {
        const form = await formOf(context, requestMaxBytes);
        const options = form.get("conversionOptions");
        // SDKs number the parts of a list.
        const parts = [...form].filter(([name, value]) => /^files?(\[\d*\])?$/.test(name) && typeof value !== "string");
        if (parts.length === 0) throw aiError("incomplete", "Request is missing headers or body: files");
        const files = await Promise.all(
          parts.map(async ([, part]) => {
            const { name, type, ...file } = {
              name: (part as File).name,
              type: (part as File).type,
              bytes: await (part as File).arrayBuffer(),
            };
            return { name, mimeType: type, bytes: new Uint8Array(file.bytes) };
          }),
        );
        const given = typeof options === "string" ? checked(conversionOptions, jsonOf(Buffer.from(options))) : {};
        return list(await markdown.convert(files, given, context.request.signal));
      },
    },
    {
      op: "workersAi.toMarkdown.supported",
      method: "GET",
      path: `${BASE}/tomarkdown/supported`,
      permission: READ,
      handle: async () => list(supported),
    },
  ];
}

const list = (items: readonly object[]) => page(items, { page: 1, per_page: items.length, count: items.length, total_count: items.length });

async function formOf(context: RequestContext, maxBytes: number): Promise<FormData> {
  const body = await context.bytes(maxBytes);
  const headers = { "content-type": context.headers.get("content-type") ?? "" };
  return new Response(new Uint8Array(body), { headers }).formData().catch((cause: unknown) => {
    throw aiError("incomplete", "Request is missing headers or body: a form with files", { cause });
  });
}
