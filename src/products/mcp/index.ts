/**
 * MCP servers of the platform itself: the whole REST API by search and code, and servers for single products. They have no rights
 * and no state of their own. README.md has the surface; this file puts the parts together.
 */
import type { Product } from "../../kernel/product.ts";
import { openCodeRuns } from "./code-runs.ts";
import { mcpDoor } from "./door.ts";
import { apiServer } from "./servers/api.ts";
import { bindingsServer } from "./servers/bindings.ts";
import { aiGatewayServer, aiSearchServer, browserServer } from "./servers/content.ts";
import { docsServer } from "./servers/docs.ts";
import { graphqlServer } from "./servers/graphql.ts";
import { auditServer, observabilityServer } from "./servers/observability.ts";

export const mcp = {
  name: "mcp",
  status: "beta",
  async start(kernel) {
    const runs = openCodeRuns(kernel);
    const servers = [
      apiServer(runs),
      bindingsServer,
      observabilityServer,
      auditServer,
      graphqlServer,
      browserServer,
      aiGatewayServer,
      aiSearchServer,
      docsServer(),
    ];
    return { hosts: [mcpDoor(kernel, servers)], internal: runs.internal, stop: runs.stop };
  },
} satisfies Product;
