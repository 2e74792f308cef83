/** Errors of Pages. Codes and texts as the real API gives them where they are known; the others only keep their distance. */
import { defineErrors } from "../../kernel/errors.ts";

export const pagesError = defineErrors("pages", {
  projectExists: { status: 409, apiCode: 8000002, message: "A project with this name already exists. Choose a different project name." },
  invalidName: {
    status: 400,
    apiCode: 8000003,
    message: "A project's name has 1 to 58 lower-case letters, digits and dashes, and neither begins nor ends with a dash.",
  },
  projectNotFound: {
    status: 404,
    apiCode: 8000007,
    message: "Project not found. The specified project name does not match any of your existing projects.",
  },
  deploymentNotFound: {
    status: 404,
    apiCode: 8000009,
    message: "Deployment not found. The specified deployment ID does not exist in this project.",
  },
  unauthorized: { status: 401, apiCode: 8000013, message: "Unauthorized" },
  domainTaken: { status: 409, apiCode: 8000018, message: "The custom domain is already added to a project." },
  invalidDomain: { status: 400, apiCode: 8000019, message: "The custom domain is no host name that a project can have." },
  apexDomain: { status: 400, apiCode: 8000020, message: "A custom apex domain needs a zone in this account." },
  domainNotFound: { status: 404, apiCode: 8000021, message: "The custom domain was not found in this project." },
  tooManyDomains: { status: 400, apiCode: 8000023, message: "The project has as many custom domains as it may have." },
  tooManyProjects: { status: 400, apiCode: 8000022, message: "The account has as many projects as it may have." },
  liveDeployment: {
    status: 400,
    apiCode: 8000034,
    message: "You cannot delete the active production deployment. Deploy or roll back to another one first.",
  },
  aliasedDeployment: {
    status: 400,
    apiCode: 8000035,
    message: "You cannot delete an aliased deployment without a `?force=true` parameter in the API request URL.",
  },
  rollback: { status: 400, apiCode: 8000039, message: "Only a production deployment that was successful can be rolled back to." },
  noManifest: {
    status: 400,
    apiCode: 8000096,
    message: 'A "manifest" field was expected in the request body but was not provided.',
  },
  invalidDeployment: { status: 400, apiCode: 8000097, message: "The deployment is invalid." },
  missingAssets: { status: 400, apiCode: 8000098, message: "The manifest names files that were not uploaded." },
  assetTooLarge: { status: 400, apiCode: 8000099, message: "Pages only supports files up to 25 MiB in size." },
});
