/** Shapes of request bodies of the Iceberg REST API. What is inside schemas, specs and updates is checked by the format code. */
import { z } from "zod";

const strings = z.record(z.string(), z.string());
/** Clients write absent members as null. */
const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);

const levels = z.array(z.string()).min(1);
const identifier = z.object({ namespace: levels, name: z.string() });
const anyObject = z.record(z.string(), z.unknown());

export const createNamespaceBody = z.object({ namespace: z.array(z.string()), properties: optional(strings) });

export const updatePropertiesBody = z.object({ removals: optional(z.array(z.string())), updates: optional(strings) });

export const createTableBody = z.object({
  name: z.string(),
  location: optional(z.string()),
  schema: anyObject,
  "partition-spec": optional(anyObject),
  "write-order": optional(anyObject),
  "stage-create": optional(z.boolean()),
  properties: optional(strings),
});

export const registerTableBody = z.object({
  name: z.string(),
  "metadata-location": z.string(),
  overwrite: optional(z.boolean()),
});

export const renameBody = z.object({ source: identifier, destination: identifier });

export const commitBody = z.object({
  identifier: optional(identifier),
  requirements: optional(z.array(z.unknown())),
  updates: z.array(z.unknown()),
});

/** Tables in one transaction (docs, "Limits"). */
const TRANSACTION_TABLES_MAX = 7500;

export const transactionBody = z.object({
  "table-changes": z
    .array(z.object({ identifier, requirements: optional(z.array(z.unknown())), updates: z.array(z.unknown()) }))
    .max(TRANSACTION_TABLES_MAX),
});

export const createViewBody = z.object({
  name: z.string(),
  location: optional(z.string()),
  schema: anyObject,
  "view-version": anyObject,
  properties: optional(strings),
});

export const replaceViewBody = z.object({
  identifier: optional(identifier),
  requirements: optional(z.array(z.unknown())),
  updates: z.array(z.unknown()),
});

export const anyBody = z.unknown();
