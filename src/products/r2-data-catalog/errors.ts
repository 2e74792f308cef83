/**
 * Every error of the catalog, for both of its doors: the control API answers the v4 envelope with `apiCode`, the Iceberg
 * REST API answers `{ error: { message, type, code } }` with the type below. 40401 is what wrangler branches on; the
 * Iceberg types are those of the specification and of docs (Basin Catalog, "Iceberg REST API compatibility").
 */
import { defineErrors, PlatformError } from "../../kernel/errors.ts";
import { IcebergError } from "../../protocols/iceberg/errors.ts";

const table = {
  catalogNotFound: { status: 404, apiCode: 40401, message: "Catalog not found" },
  bucketNotFound: { status: 404, apiCode: 10006, message: "The specified bucket does not exist." },
  catalogNotEmpty: { status: 409, apiCode: 40901, message: "The catalog is not empty; set force=true to delete its namespaces and tables" },
  namespaceNotFound: { status: 404, apiCode: 40402, message: "Namespace does not exist" },
  tableNotFound: { status: 404, apiCode: 40403, message: "Table does not exist" },
  viewNotFound: { status: 404, apiCode: 40404, message: "View does not exist" },
  badRequest: { status: 400, apiCode: 40001, message: "Bad request" },
  illegalArgument: { status: 400, apiCode: 40001, message: "Bad request" },
  invalidMaintenanceConfig: { status: 400, apiCode: 40002, message: "Invalid maintenance configuration" },
  invalidFormatVersion: { status: 400, apiCode: 40003, message: "Invalid format version" },
  invalidLocation: { status: 400, apiCode: 40004, message: "Invalid location" },
  invalidGracePeriod: { status: 400, apiCode: 40005, message: "Invalid deletion grace period" },
  invalidMaintenanceInterval: { status: 400, apiCode: 40006, message: "Invalid maintenance interval" },
  concurrentUpdate: { status: 400, apiCode: 40007, message: "The table was updated concurrently", retryable: true },
  invalidCredential: {
    status: 400,
    apiCode: 40008,
    message: "The token is invalid, or may not write to the catalog and the objects of the bucket",
  },
  namespaceExists: { status: 409, apiCode: 40902, message: "Namespace already exists" },
  namespaceNotEmpty: { status: 409, apiCode: 40904, message: "Namespace is not empty" },
  tableExists: { status: 409, apiCode: 40905, message: "Table already exists" },
  viewExists: { status: 409, apiCode: 40906, message: "View already exists" },
  commitFailed: { status: 409, apiCode: 40907, message: "Commit failed", retryable: true },
  propertyRefused: { status: 409, apiCode: 40908, message: "Failed to set properties" },
  unprocessable: { status: 422, apiCode: 42201, message: "Unprocessable entity" },
  maintenanceRunning: { status: 409, apiCode: 40903, message: "A maintenance run for the table is in progress" },
  maintenanceNotEnabled: { status: 400, apiCode: 40012, message: "Maintenance is not turned on for the table" },
  maintenanceLimit: {
    status: 429,
    apiCode: 42901,
    message: "The table has reached its limit of accepted maintenance requests for the UTC day",
  },
  tooManyRequests: { status: 429, apiCode: 42901, message: "Too many requests", retryable: true },
  metadataUnreadable: { status: 500, apiCode: 50001, message: "Cannot read table metadata" },
} as const;

export type CatalogErrorKey = keyof typeof table;

export const catalogError = defineErrors("catalog", table);

const icebergTypes: Readonly<Record<CatalogErrorKey, string>> = {
  catalogNotFound: "NoSuchWarehouseException",
  bucketNotFound: "NoSuchWarehouseException",
  catalogNotEmpty: "BadRequestException",
  namespaceNotFound: "NoSuchNamespaceException",
  tableNotFound: "NoSuchTableException",
  viewNotFound: "NoSuchViewException",
  badRequest: "BadRequestException",
  illegalArgument: "IllegalArgumentException",
  invalidMaintenanceConfig: "BadRequestException",
  invalidFormatVersion: "InvalidFormatVersion",
  invalidLocation: "InvalidLocation",
  invalidGracePeriod: "InvalidGracePeriodPropertyValue",
  invalidMaintenanceInterval: "InvalidMaintenanceIntervalPropertyValue",
  concurrentUpdate: "ConcurrentUpdateError",
  invalidCredential: "BadRequestException",
  namespaceExists: "AlreadyExistsException",
  namespaceNotEmpty: "NamespaceNotEmptyException",
  tableExists: "AlreadyExistsException",
  viewExists: "AlreadyExistsException",
  commitFailed: "CommitFailedException",
  propertyRefused: "FailedToSetProperties",
  unprocessable: "UnprocessableEntityException",
  maintenanceRunning: "CommitFailedException",
  maintenanceNotEnabled: "BadRequestException",
  maintenanceLimit: "TooManyRequestsException",
  tooManyRequests: "TooManyRequestsException",
  metadataUnreadable: "InternalServerError",
};

/** The Iceberg error type of a documented error; undefined for errors that are ours to log. */
export function icebergType(error: PlatformError): string {
  const [scope, key] = error.code.split(".");
  if (scope === "catalog") return icebergTypes[key as CatalogErrorKey];
  if (error.code === "platform.notImplemented") return "UnsupportedOperationException";
  if (error.spec.status === 503 || error.spec.status === 507) return "ServiceUnavailableException";
  return error.spec.status < 500 ? "BadRequestException" : "InternalServerError";
}

/** An error of the format code as one of the catalog; anything else as it is. */
export function asCatalogError(error: unknown): unknown {
  if (!(error instanceof IcebergError)) return error;
  const options = { cause: error };
  switch (error.kind) {
    case "invalid":
      return catalogError("badRequest", error.message, options);
    case "argument":
      return catalogError("illegalArgument", error.message, options);
    case "conflict":
      return catalogError("commitFailed", error.message, options);
    case "unsupported":
      return new PlatformError("platform.notImplemented", { status: 501, apiCode: 10501, message: error.message }, error.message, options);
    case "corrupt":
      return catalogError("metadataUnreadable", error.message, options);
  }
}
