/** Errors of Workers VPC and of its tunnels. The tunnels' codes are those of Cloudflare's API; the services' are documented nowhere. */
import { defineErrors } from "../../kernel/errors.ts";

export const vpcError = defineErrors("workersVpc", {
  tunnelNotFound: { status: 404, apiCode: 1003, message: "Tunnel not found" },
  tunnelNameTaken: { status: 409, apiCode: 1013, message: "You already have a tunnel with this name" },
  tunnelActive: { status: 400, apiCode: 1022, message: "Cannot delete tunnel because it has active connections" },
  tooManyTunnels: { status: 400, apiCode: 1014, message: "The account has as many tunnels as it may have" },
  serviceNotFound: { status: 404, apiCode: 5101, message: "Connectivity service not found" },
  serviceNameTaken: { status: 409, apiCode: 5102, message: "A connectivity service with this name already exists" },
  tooManyServices: { status: 400, apiCode: 5103, message: "The account has as many connectivity services as it may have" },
  noTunnel: { status: 400, apiCode: 5104, message: "The tunnel of the connectivity service does not exist" },
  noCertificate: { status: 400, apiCode: 5105, message: "The certificate of the connectivity service does not exist" },
  binding: { status: 400, apiCode: 10021, message: "The vpc_service binding is invalid." },
});

/** The private side was not reached: the Worker's `fetch()` throws. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}
