/** The platform's own list of its operations as an OpenAPI document, for code that looks for one. It knows no bodies. */

export interface RouteView {
  /** "kv.namespaces.create". */
  readonly op: string;
  readonly method: string;
  /** "/accounts/:account/storage/kv/namespaces/:id", a last `:key{.+}` taking the rest of the path. */
  readonly path: string;
  readonly permission: readonly string[] | "public";
}

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly parameters?: readonly object[];
  /** Permission groups of which a token needs one; none: any token will do. */
  readonly "x-permissions": readonly string[];
}

interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

export function openApiOf(routes: readonly RouteView[]): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const { op, method, path, permission } of routes) {
    const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => renamed(name as string));
    const written = path.replace(/:(\w+)(\{[^/]*\})?/g, (_, name: string) => `{${renamed(name)}}`);
    const parameters = names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } }));
    paths[written] ??= {};
    paths[written][method.toLowerCase()] = {
      operationId: op,
      tags: [op.split(".", 1)[0] as string],
      summary: summaryOf(op),
      ...(parameters.length > 0 && { parameters }),
      "x-permissions": permission === "public" ? [] : permission,
    };
  }
  return { openapi: "3.1.0", info: { title: "Freehold API", version: "4" }, paths };
}

/** As the public description calls it. */
const renamed = (name: string): string => (name === "account" || name === "zone" ? `${name}_id` : name);

/** "kv.namespaces.create": "create, of kv namespaces". */
function summaryOf(op: string): string {
  const words = op
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(".");
  return `${words.at(-1)}, of ${words.slice(0, -1).join(" ")}`;
}
