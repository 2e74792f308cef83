/** Who calls: reads the credentials of a request, in the forms that Cloudflare's clients send. */
import type { IncomingHttpHeaders } from "node:http";
import { platformError } from "../errors.ts";
import type { Auth } from "../product.ts";
import { s3Secret, type TokenStore } from "./tokens.ts";

export function createAuth(tokens: TokenStore): Auth {
  return {
    async bearer(headers: IncomingHttpHeaders) {
      const { authorization } = headers;
      if (authorization !== undefined) {
        const match = /^Bearer\s+(\S+)\s*$/i.exec(authorization);
        if (match === null) throw platformError("malformedHeader", "Invalid format for Authorization header");
        return tokens.verify(match[1] as string);
      }
      // The older pair of headers: the key is an API token here, since there are no global keys.
      const key = headers["x-auth-key"];
      if (typeof key === "string" && key !== "") return tokens.verify(key);
      throw platformError("authentication");
    },
    accessKey: (id) => tokens.accessKey(id),
    s3Secret,
  };
}
