/** The server for what Workers are bound to: KV, R2, D1, Hyperdrive, and the Workers themselves. */
import { z } from "zod";
import { json, type McpServer, restTool, resultOf, ToolFailure, tool } from "../tool.ts";

const id = (what: string) => z.string().min(1).describe(`The id of the ${what}`);
const name = (what: string) => z.string().min(1).describe(`The name of the ${what}`);
const paging = { page: z.number().int().min(1).optional(), per_page: z.number().int().min(1).max(1000).optional() };
const segment = encodeURIComponent;

const KV = "~/storage/kv/namespaces";
const namespace = { namespace_id: id("namespace") };
const namespacePath = ({ namespace_id }: { namespace_id: string }): string => `${KV}/${segment(namespace_id)}`;
const kv = [
  restTool("kv_namespaces_list", "List all of the KV namespaces in your account", paging, (query) => ["GET", KV, { query }]),
  restTool("kv_namespace_create", "Create a new KV namespace in your account", { title: name("namespace") }, (body) => [
    "POST",
    KV,
    { body },
  ]),
  restTool("kv_namespace_delete", "Delete a KV namespace in your account", namespace, (args) => ["DELETE", namespacePath(args)]),
  restTool("kv_namespace_get", "Get details of a KV namespace in your account", namespace, (args) => ["GET", namespacePath(args)]),
  restTool(
    "kv_namespace_update",
    "Update the title of a KV namespace in your account",
    { ...namespace, title: name("namespace") },
    ({ title, ...args }) => ["PUT", namespacePath(args), { body: { title } }],
  ),
];

const SCRIPTS = "~/workers/scripts";
const script = { scriptName: name("Worker") };
const workers = [
  restTool("workers_list", "List all Workers in your account", {}, () => ["GET", SCRIPTS]),
  tool("workers_get_worker", "Get the details of a Worker", script, async ({ scriptName }, caller) => {
    const scripts = (await resultOf(await caller.request("GET", SCRIPTS))) as readonly { readonly id: string }[];
    const found = scripts.find((one) => one.id === scriptName);
    if (found === undefined) throw new ToolFailure(`There is no Worker "${scriptName}"`);
    return [json(found)];
  }),
  restTool("workers_get_worker_code", "Get the source code of a Worker", script, ({ scriptName }) => [
    "GET",
    `${SCRIPTS}/${segment(scriptName)}`,
  ]),
];

const BUCKETS = "~/r2/buckets";
const bucket = { name: name("bucket") };
const r2 = [
  restTool(
    "r2_buckets_list",
    "List R2 buckets in your account",
    { name_contains: z.string().optional(), cursor: z.string().optional(), per_page: paging.per_page },
    (query) => ["GET", BUCKETS, { query }],
  ),
  restTool("r2_bucket_create", "Create a new R2 bucket in your account", bucket, (body) => ["POST", BUCKETS, { body }]),
  restTool("r2_bucket_get", "Get details about a specific R2 bucket", bucket, (args) => ["GET", `${BUCKETS}/${segment(args.name)}`]),
  restTool("r2_bucket_delete", "Delete an R2 bucket", bucket, (args) => ["DELETE", `${BUCKETS}/${segment(args.name)}`]),
];

const DATABASES = "~/d1/database";
const database = { database_id: id("database") };
const databasePath = ({ database_id }: { database_id: string }): string => `${DATABASES}/${segment(database_id)}`;
const d1 = [
  restTool("d1_databases_list", "List all of the D1 databases in your account", { name: z.string().optional(), ...paging }, (query) => [
    "GET",
    DATABASES,
    { query },
  ]),
  restTool("d1_database_create", "Create a new D1 database in your account", { name: name("database") }, (body) => [
    "POST",
    DATABASES,
    { body },
  ]),
  restTool("d1_database_delete", "Delete a D1 database in your account", database, (args) => ["DELETE", databasePath(args)]),
  restTool("d1_database_get", "Get a D1 database in your account", database, (args) => ["GET", databasePath(args)]),
  restTool(
    "d1_database_query",
    "Query a D1 database in your account with SQL",
    { ...database, sql: z.string().min(1), params: z.array(z.string()).optional() },
    ({ sql, params, ...args }) => ["POST", `${databasePath(args)}/query`, { body: { sql, params } }],
  ),
];

const HYPERDRIVES = "~/hyperdrive/configs";
const hyperdriveId = { hyperdrive_id: id("configuration") };
const hyperdrivePath = ({ hyperdrive_id }: { hyperdrive_id: string }): string => `${HYPERDRIVES}/${segment(hyperdrive_id)}`;
const origin = {
  database: z.string(),
  host: z.string(),
  port: z.number().int().min(1).max(65_535),
  scheme: z.enum(["postgres", "postgresql", "mysql"]),
  user: z.string(),
  password: z.string(),
};
const hyperdrive = [
  restTool("hyperdrive_configs_list", "List Hyperdrive configurations in your account", paging, (query) => ["GET", HYPERDRIVES, { query }]),
  restTool(
    "hyperdrive_config_create",
    "Create a new Hyperdrive configuration in your account",
    { name: name("configuration"), ...origin },
    ({ name: called, ...given }) => ["POST", HYPERDRIVES, { body: { name: called, origin: given } }],
  ),
  restTool("hyperdrive_config_delete", "Delete a Hyperdrive configuration in your account", hyperdriveId, (args) => [
    "DELETE",
    hyperdrivePath(args),
  ]),
  restTool("hyperdrive_config_get", "Get details of a Hyperdrive configuration in your account", hyperdriveId, (args) => [
    "GET",
    hyperdrivePath(args),
  ]),
  restTool(
    "hyperdrive_config_edit",
    "Edit a Hyperdrive configuration in your account; what is not given stays",
    { ...hyperdriveId, name: z.string().optional(), ...z.object(origin).partial().shape },
    ({ hyperdrive_id, name: called, ...given }) => [
      "PATCH",
      hyperdrivePath({ hyperdrive_id }),
      { body: { name: called, ...(Object.keys(given).length > 0 && { origin: given }) } },
    ],
  ),
];

export const bindingsServer: McpServer = {
  name: "bindings",
  title: "workers-bindings",
  instructions:
    "Lists, makes, changes and deletes what Workers are bound to: KV namespaces, R2 buckets, D1 databases, Hyperdrive configurations; and reads Workers.",
  tools: [...kv, ...workers, ...r2, ...d1, ...hyperdrive],
};
