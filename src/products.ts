/** The one list of products. Order does not matter: the kernel starts them in the order of their needs. */
import type { Product } from "./kernel/product.ts";
import { aiGateway } from "./products/ai-gateway/index.ts";
import { aiSearch } from "./products/ai-search/index.ts";
import { analyticsEngine } from "./products/analytics-engine/index.ts";
import { browserRendering } from "./products/browser-rendering/index.ts";
import { cache } from "./products/cache/index.ts";
import { constellation } from "./products/constellation/index.ts";
import { containers } from "./products/containers/index.ts";
import { customHostnames } from "./products/custom-hostnames/index.ts";
import { d1 } from "./products/d1/index.ts";
import { dashboard } from "./products/dashboard/index.ts";
import { durableObjects } from "./products/durable-objects/index.ts";
import { emailRouting } from "./products/email-routing/index.ts";
import { hyperdrive } from "./products/hyperdrive/index.ts";
import { images } from "./products/images/index.ts";
import { kv } from "./products/kv/index.ts";
import { mcp } from "./products/mcp/index.ts";
import { moq } from "./products/moq/index.ts";
import { notifications } from "./products/notifications/index.ts";
import { observability } from "./products/observability/index.ts";
import { pages } from "./products/pages/index.ts";
import { pipelines } from "./products/pipelines/index.ts";
import { privacyGateway } from "./products/privacy-gateway/index.ts";
import { queues } from "./products/queues/index.ts";
import { r2 } from "./products/r2/index.ts";
import { r2DataCatalog } from "./products/r2-data-catalog/index.ts";
import { r2Sql } from "./products/r2-sql/index.ts";
import { realtime } from "./products/realtime/index.ts";
import { secretsStore } from "./products/secrets-store/index.ts";
import { stream } from "./products/stream/index.ts";
import { vectorize } from "./products/vectorize/index.ts";
import { workers } from "./products/workers/index.ts";
import { workersAi } from "./products/workers-ai/index.ts";
import { workersForPlatforms } from "./products/workers-for-platforms/index.ts";
import { workersVpc } from "./products/workers-vpc/index.ts";
import { workflows } from "./products/workflows/index.ts";
import { zaraz } from "./products/zaraz/index.ts";
import { zones } from "./products/zones/index.ts";

export const products: readonly Product[] = [
  aiGateway,
  aiSearch,
  analyticsEngine,
  browserRendering,
  cache,
  constellation,
  containers,
  customHostnames,
  d1,
  dashboard,
  durableObjects,
  emailRouting,
  hyperdrive,
  images,
  kv,
  mcp,
  moq,
  notifications,
  observability,
  pages,
  pipelines,
  privacyGateway,
  queues,
  r2,
  r2DataCatalog,
  r2Sql,
  realtime,
  secretsStore,
  stream,
  vectorize,
  workers,
  workersAi,
  workersForPlatforms,
  workersVpc,
  workflows,
  zaraz,
  zones,
];
