/**
 * Errors of the Workers API with the codes that wrangler branches on (10007, 10021, 10027, 10057, 10068 …).
 * Sources: the "Workers API errors" table of the documentation, and wrangler's own checks.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const workersError = defineErrors("workers", {
  parse: { status: 400, apiCode: 10006, message: "Could not parse your script from the API request. Check your request body." },
  notFound: { status: 404, apiCode: 10007, message: "This Worker does not exist on your account." },
  // Wranglers up to 3.57, which ask for a service before they deploy to it, know no other code; newer ones know both.
  noService: { status: 404, apiCode: 10090, message: "workers.api.error.service_not_found" },
  // wrangler takes it for a user Worker that is not there yet.
  userWorkerNotFound: { status: 404, apiCode: 10092, message: "This Worker does not exist in the dispatch namespace." },
  // Codes of tags are not documented.
  invalidTag: { status: 400, apiCode: 10021, message: "A tag is 1 to 100 characters long, without ',' and '&'." },
  tooManyTags: { status: 400, apiCode: 10021, message: "A Worker can have at most 8 tags." },
  tagFilter: { status: 400, apiCode: 10021, message: "The filter `tags` is a list of tag:yes and tag:no." },
  invalidName: {
    status: 400,
    apiCode: 10016,
    message: "Invalid Worker name. Please use a name with lowercase letters, numbers, dashes and underscores, of at most 63 characters.",
  },
  validation: { status: 400, apiCode: 10021, message: "Validation of the Worker failed." },
  tooLarge: { status: 413, apiCode: 10027, message: "Your Worker exceeded the size limit." },
  subdomainUnavailable: { status: 409, apiCode: 10031, message: "This subdomain is unavailable, please try a different subdomain." },
  subdomainAvailable: { status: 404, apiCode: 10032, message: "This subdomain does not exist." },
  subdomainExists: { status: 409, apiCode: 10036, message: "This account already has a workers.dev subdomain." },
  concurrentEdit: { status: 409, apiCode: 10035, message: "Multiple attempts to modify a resource at the same time. Please try again." },
  tooMany: { status: 403, apiCode: 10037, message: "You have exceeded the limit of Workers on your account." },
  unnamedBinding: { status: 400, apiCode: 10052, message: "One of your bindings is missing a name." },
  nameInUse: { status: 400, apiCode: 10053, message: "Binding name already in use. Please use a different name and try again." },
  variableTooLarge: { status: 400, apiCode: 10054, message: "An environment variable or secret is too large. The limit is 5 KB." },
  tooManyVariables: { status: 400, apiCode: 10055, message: "Your Worker has too many environment variables. The limit is 128." },
  secretNotFound: { status: 404, apiCode: 10056, message: "Binding does not exist on this Worker." },
  invalidInherit: { status: 400, apiCode: 10057, message: "inherit binding is invalid: it has no previous binding to inherit from" },
  // Codes of routes and domains other than 10020 are not documented.
  routeExists: { status: 409, apiCode: 10020, message: "A route with the same pattern already exists." },
  routeTaken: { status: 409, apiCode: 10020, message: "A route with the same pattern is already assigned to another Worker." },
  invalidRoute: { status: 400, apiCode: 10022, message: "The route pattern is invalid." },
  routeNotFound: { status: 404, apiCode: 10013, message: "The route was not found." },
  tooManyRoutes: { status: 400, apiCode: 10023, message: "A zone can have at most 1,000 routes." },
  zoneNotFound: { status: 404, apiCode: 1001, message: "The zone was not found on this account." },
  domainTaken: { status: 409, apiCode: 100116, message: "The custom domain is already used by another Worker." },
  domainNotFound: { status: 404, apiCode: 100114, message: "The custom domain was not found." },
  tooManyDomains: { status: 400, apiCode: 100117, message: "A zone can have at most 100 custom domains." },
  invalidCertificate: { status: 400, apiCode: 1403, message: "The certificate is invalid." },
  certificateExists: { status: 409, apiCode: 1406, message: "A certificate with the same content exists already." },
  certificateNotFound: { status: 404, apiCode: 1404, message: "The mTLS certificate was not found." },
  certificateInUse: { status: 409, apiCode: 1407, message: "The certificate is in use." },
  tooManyCertificates: { status: 400, apiCode: 1405, message: "The account can have at most 1,000 certificates." },
  noHandlers: { status: 400, apiCode: 10068, message: "No event handlers were registered. This script does nothing." },
  unsupportedHandlers: { status: 400, apiCode: 10069, message: "The uploaded Worker contains event handlers that are not supported." },
  // wrangler opens a new session at this code.
  previewExpired: { status: 400, apiCode: 10049, message: "The preview session does not exist or has expired." },
  // Not documented.
  tooManyPreviews: { status: 429, apiCode: 10050, message: "Too many preview sessions are open. Please try again later." },
  invalidCron: { status: 400, apiCode: 10100, message: "invalid cron string" },
  tooManyCrons: { status: 400, apiCode: 10072, message: "You have exceeded the limit of cron triggers of one Worker." },
  serviceNotFound: { status: 400, apiCode: 10143, message: "Could not resolve service binding: the Worker it refers to was not found." },
  entrypointNotFound: { status: 400, apiCode: 10144, message: "Could not resolve service binding: the Worker has no such entrypoint." },
  versionNotFound: { status: 404, apiCode: 10208, message: "Worker version was not found." },
  deploymentNotFound: { status: 404, apiCode: 10210, message: "Deployment was not found." },
  invalidDeployment: { status: 400, apiCode: 10209, message: "A deployment needs one or two versions whose percentages sum to 100." },
  versionUploadMigrations: {
    status: 400,
    apiCode: 10211,
    message: "Migrations must be fully applied by running `wrangler deploy`. Version uploads cannot carry Durable Object migrations.",
  },
  latestNotDeployed: {
    status: 400,
    apiCode: 10215,
    message: "Secret edit failed. You attempted to modify a secret, but the latest version of your Worker is not deployed.",
  },
  noVersions: { status: 400, apiCode: 10222, message: "This Worker has no uploaded versions." },
  assetsSession: { status: 400, apiCode: 10304, message: "The assets completion token is invalid or has expired." },
  assetsManifest: { status: 400, apiCode: 10301, message: "The asset manifest is invalid." },
  assetTooLarge: { status: 413, apiCode: 10302, message: "An asset exceeds the limit of 25 MiB." },
  assetsUnauthorized: { status: 401, apiCode: 10303, message: "The assets upload token is invalid or has expired." },
  assetMismatch: { status: 400, apiCode: 10305, message: "The uploaded asset is not part of the upload session's manifest." },
  referenced: { status: 400, apiCode: 10064, message: "This Worker is in use by other Workers. Use `force=true` to delete it anyway." },
  mayNotBind: { status: 403, apiCode: 10000, message: "The token may not create a binding of this type." },
  tailLimit: { status: 400, apiCode: 10057, message: "This Worker has reached its limit of live tails." },
});
