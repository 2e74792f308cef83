/** The server of the GraphQL Analytics API: finds one's way in the schema, and asks. */
import { z } from "zod";
import { type Caller, json, type McpServer, resultOf, ToolFailure, text, tool } from "../tool.ts";

const REF = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
const TYPE = `query($name: String!) { __type(name: $name) { name kind description fields { name description args { name type { ${REF} } } type { ${REF} } } inputFields { name type { ${REF} } } enumValues { name } } }`;
const TYPES = "{ __schema { types { name kind description fields { name } } } }";

interface SchemaType {
  readonly name: string;
  readonly kind: string;
  readonly description?: string;
  readonly fields?: readonly { readonly name: string }[];
}

/** GraphQL's answer is no envelope: errors are in it with status 200. */
async function ask(caller: Caller, query: string, variables: object = {}): Promise<unknown> {
  const { data, errors } = (await resultOf(await caller.request("POST", "/graphql", { body: { query, variables } }))) as {
    readonly data: unknown;
    readonly errors: readonly { readonly message: string }[] | null;
  };
  if (errors !== null) throw new ToolFailure(errors.map(({ message }) => message).join("\n"));
  return data;
}

const typesOf = async (caller: Caller): Promise<readonly SchemaType[]> =>
  ((await ask(caller, TYPES)) as { readonly __schema: { readonly types: readonly SchemaType[] } }).__schema.types;

export const graphqlServer: McpServer = {
  name: "graphql",
  title: "graphql",
  instructions:
    "The GraphQL Analytics API. Look at graphql_schema_overview or graphql_schema_search for a dataset, at graphql_type_details for its fields, and then ask graphql_query.",
  tools: [
    tool(
      "graphql_schema_search",
      "Search the schema for types and fields whose names have a keyword",
      { keyword: z.string().min(1) },
      async ({ keyword }, caller) => {
        const wanted = keyword.toLowerCase();
        const has = (name: string): boolean => name.toLowerCase().includes(wanted);
        const found = (await typesOf(caller)).flatMap(({ name, kind, fields }) => {
          const own = (fields ?? []).map((field) => field.name).filter(has);
          return own.length > 0 || has(name) ? [{ name, kind, ...(own.length > 0 && { fields: own }) }] : [];
        });
        return [found.length === 0 ? text(`Nothing in the schema has "${keyword}" in its name`) : json(found)];
      },
    ),
    tool("graphql_schema_overview", "The types of the schema with their descriptions", {}, async (_, caller) => [
      json((await typesOf(caller)).map(({ name, kind, description }) => ({ name, kind, description }))),
    ]),
    tool(
      "graphql_type_details",
      "The fields of a type, with their arguments and types",
      { typeName: z.string().min(1) },
      async ({ typeName }, caller) => [json(await ask(caller, TYPE, { name: typeName }))],
    ),
    tool(
      "graphql_query",
      "Execute a GraphQL query. The account's datasets are below viewer.accounts(filter: {accountTag: $accountTag}), a zone's below viewer.zones(filter: {zoneTag}). $accountTag is set where the query declares it.",
      { query: z.string().min(1), variables: z.record(z.string(), z.unknown()).optional() },
      async ({ query, variables }, caller) => [json(await ask(caller, query, { accountTag: caller.accountId, ...variables }))],
    ),
  ],
};
