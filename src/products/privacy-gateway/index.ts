/** Privacy Gateway: the relay of Oblivious HTTP (RFC 9458), which hides who asks from the application. See README.md. */
import type { Product } from "../../kernel/product.ts";
import { parseApplications } from "./applications.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import { openRelay } from "./relay.ts";

export const privacyGateway = {
  name: "privacy-gateway",
  status: "beta",
  migrations,
  async start(kernel) {
    const metrics = openMetrics(kernel);
    const relay = openRelay(parseApplications(kernel.config["privacy_gateway.applications"]), metrics, kernel.config);
    return {
      hosts: [relay.host],
      datasets: metrics.datasets,
      async stop() {
        await relay.stop();
        await metrics.stop();
      },
    };
  },
} satisfies Product;
