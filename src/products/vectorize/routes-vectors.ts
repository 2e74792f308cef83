/** REST of an index's vectors. Uploads are NDJSON, as they are (`cloudflare` SDKs) or as a form's file (wrangler, the docs' Python). */
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Index } from "./indexes.ts";
import { UPLOAD_MAX_BYTES } from "./limits.ts";
import { INDEX, jsonBody, READ, type VectorizeApi, WRITE } from "./routes.ts";
import { readVectors } from "./vector-input.ts";

export function vectorRoutes({ indexes, operations }: VectorizeApi): Route[] {
  const indexOf = ({ params }: RequestContext): Index => indexes.require(params.index as string);
  const upload = (kind: "insert" | "upsert"): Route => ({
    op: `vectorize.vectors.${kind}`,
    method: "POST",
    path: `${INDEX}/${kind}`,
    permission: WRITE,
    async handle(context) {
      const index = indexOf(context);
      const vectors = await readVectors(context.chunks(UPLOAD_MAX_BYTES), context.headers.get("content-type") ?? "", {
        dimensions: index.dimensions,
        discardUnparsable: context.query.get("unparsable-behavior") === "discard",
      });
      return operations.write(index, kind, vectors);
    },
  });
  return [
    upload("insert"),
    upload("upsert"),
    {
      op: "vectorize.vectors.query",
      method: "POST",
      path: `${INDEX}/query`,
      permission: READ,
      handle: async (context) => operations.query(indexOf(context), await jsonBody(context)),
    },
    {
      op: "vectorize.vectors.getByIds",
      method: "POST",
      path: `${INDEX}/get_by_ids`,
      permission: READ,
      handle: async (context) => operations.getByIds(indexOf(context), await jsonBody(context)),
    },
    {
      op: "vectorize.vectors.deleteByIds",
      method: "POST",
      path: `${INDEX}/delete_by_ids`,
      permission: WRITE,
      handle: async (context) => operations.deleteByIds(indexOf(context), await jsonBody(context)),
    },
    {
      op: "vectorize.vectors.list",
      method: "GET",
      path: `${INDEX}/list`,
      permission: READ,
      handle: (context) => operations.list(indexOf(context), context.query),
    },
  ];
}
