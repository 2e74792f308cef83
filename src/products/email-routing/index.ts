/**
 * Email Routing, in its first slice: Workers send by the binding `send_email`, and what they send is stored and readable.
 * Nothing is delivered or received yet; README.md says what is missing.
 */
import type { Product } from "../../kernel/product.ts";
import { emailBinding, takeMessage } from "./binding.ts";
import { migrations } from "./migrations.ts";
import { emailRoutes } from "./routes.ts";
import { openSent } from "./sent.ts";

export const emailRouting = {
  name: "email-routing",
  status: "experimental",
  migrations,
  permissions: [
    { id: "5272e56105d04b5897466995b9bd4643", name: "Email Routing Addresses Read", scopes: ["com.cloudflare.api.account"] },
    { id: "e4589eb09e63436686cd64252a3aebeb", name: "Email Routing Addresses Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const sent = openSent(kernel, kernel.blobs);
    return {
      routes: emailRoutes(sent),
      bindings: { send_email: emailBinding(kernel.mint) },
      internal: (claims, request, response) => takeMessage(sent, claims, request, response),
      stop: async () => undefined,
    };
  },
} satisfies Product;
