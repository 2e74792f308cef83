/**
 * The binding type "vpc_service": a fetcher whose requests come to `serve-fetch.ts` with the service's id as a claim. What
 * a Worker reaches by it follows from that id alone; neither URL nor headers have a say.
 */
import type { BindingCompiler, CapabilityMint } from "../../kernel/product.ts";
import { vpcError } from "./errors.ts";
import { SCHEME_HEADER } from "./serve-fetch.ts";
import type { Services } from "./services.ts";

const idOf = (id: unknown): string => (typeof id === "string" ? id.toLowerCase() : "");

export const vpcServiceBinding = (services: Services, mint: CapabilityMint): BindingCompiler => ({
  permission: ["Connectivity Directory Bind", "Connectivity Directory Admin"],
  async validate({ type, name, service_id }) {
    const service = await services.find(idOf(service_id));
    if (service === undefined) throw vpcError("binding", `Binding "${name}": there is no VPC service "${String(service_id)}".`);
    if (service.type !== "http") throw vpcError("binding", `Binding "${name}": the VPC service "${service.name}" is not of the type http.`);
    return { type, name, service_id: service.service_id };
  },
  async compile({ name, service_id }) {
    const service = `vpc:${idOf(service_id)}`;
    const claims = { service: idOf(service_id) };
    return { bindings: [{ name, service }], services: [mint.node(service, claims, { forwardedProtoHeader: SCHEME_HEADER })] };
  },
});
