/** Workers VPC: services of private networks that Workers reach by a binding, through tunnels that the networks open. README.md has the guarantees. */
import type { Product } from "../../kernel/product.ts";
import { vpcServiceBinding } from "./binding.ts";
import { openConnectors, PROTOCOL } from "./connectors.ts";
import { migrations } from "./migrations.ts";
import { openReach } from "./reach.ts";
import { serviceRoutes, tunnelRoutes } from "./routes.ts";
import { serveFetch } from "./serve-fetch.ts";
import { openServices } from "./services.ts";
import { openTunnels } from "./tunnels.ts";

const account = ["com.cloudflare.api.account"] as const;

export const workersVpc = {
  name: "workers-vpc",
  status: "beta",
  needs: ["certificates"],
  migrations,
  // Cloudflare's ids of the directory's groups are not known.
  permissions: [
    { id: "efea2ab8357b47888938f101ae5e053f", name: "Cloudflare Tunnel Read", scopes: account },
    { id: "c07321b023e944ff818fec44d8203567", name: "Cloudflare Tunnel Write", scopes: account },
    { id: "7c1d0f5be00a4c1c8e1a52f1b7c86a01", name: "Connectivity Directory Read", scopes: account },
    { id: "7c1d0f5be00a4c1c8e1a52f1b7c86a02", name: "Connectivity Directory Bind", scopes: account },
    { id: "7c1d0f5be00a4c1c8e1a52f1b7c86a03", name: "Connectivity Directory Admin", scopes: account },
  ],
  async start(kernel) {
    const certificates = kernel.get("certificates");
    const tunnels = openTunnels(kernel);
    const connectors = openConnectors(kernel, tunnels);
    const services = openServices(kernel, tunnels, certificates);
    const reach = openReach(connectors, certificates, kernel.config["workers_vpc.connect_timeout_ms"]);
    const parts = { services, reach, log: kernel.log };
    return {
      routes: [...tunnelRoutes(kernel, tunnels, connectors), ...serviceRoutes(services)],
      hosts: [
        {
          name: "tunnel",
          patterns: ["tunnel"],
          wholeHost: true,
          upgrades: [PROTOCOL],
          handle(_params, request, response) {
            request.resume();
            const text = "Connectors of tunnels dial here: freehold tunnel run --token TOKEN\n";
            response.writeHead(426, { "content-type": "text/plain", upgrade: PROTOCOL, connection: "upgrade" }).end(text);
          },
          upgrade: (_params, request, socket, head) => connectors.upgrade(request, socket, head),
        },
      ],
      bindings: { vpc_service: vpcServiceBinding(services, kernel.mint) },
      internal: (claims, request, response) => serveFetch(parts, claims, request, response),
      // WebSockets do not pass: `fetch()` throws.
      internalUpgrade: async (_claims, _request, socket) => void socket.destroy(),
      stop: () => connectors.stop(),
    };
  },
} satisfies Product;
