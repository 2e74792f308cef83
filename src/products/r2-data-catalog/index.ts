/**
 * R2 Data Catalog (Basin Catalog): a managed Apache Iceberg catalog in an R2 bucket. Rows hold the list of tables and the
 * pointer to each one's current metadata file; metadata and data are objects of the bucket. `README.md` has the surface,
 * the guarantees and what is missing.
 */
import type { Product } from "../../kernel/product.ts";
import { permissions } from "./access.ts";
import { startBackground } from "./background.ts";
import { tablesCapability } from "./capability.ts";
import { controlRoutes } from "./control-routes.ts";
import { keyedLock } from "./keyed-lock.ts";
import { startScheduler } from "./maintenance/scheduler.ts";
import { metadataFiles } from "./metadata-files.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import type { Catalog } from "./model.ts";
import { startPurger } from "./purge.ts";
import { icebergRest } from "./rest/dispatch.ts";
import { configOperation, namespaceAndTableOperations, unsupportedEndpoints } from "./rest/operations.ts";
import { viewOperations } from "./rest/view-operations.ts";

export const r2DataCatalog = {
  name: "r2-data-catalog",
  status: "beta",
  needs: ["objects"],
  provides: ["tables"],
  migrations,
  permissions,
  async start(kernel) {
    const objects = kernel.get("objects");
    const background = startBackground(kernel.log);
    const purger = startPurger(() => catalog);
    const catalog: Catalog = {
      kernel,
      objects,
      files: metadataFiles(objects),
      locks: keyedLock(),
      metrics: openMetrics(kernel.meta, kernel.clock, kernel.log),
      background: (event, work) => background.run(event, work),
      purgeSoon: () => purger.wake(),
      maintainSoon: () => scheduler.wake(),
    };
    const scheduler = startScheduler(catalog);
    const tables = tablesCapability(catalog);
    const operations = [...namespaceAndTableOperations, ...viewOperations];
    const config = configOperation(() => operations.map((operation) => operation.endpoint));
    const handle = icebergRest(catalog, [config, ...operations], unsupportedEndpoints);
    objects.guard(tables.enabled);
    purger.wake();
    scheduler.wake();
    return {
      routes: controlRoutes(catalog),
      hosts: [
        {
          name: "catalog",
          patterns: ["catalog"],
          publicHosts: ["catalog.cloudflarestorage.com"],
          template: "/{account}/{bucket}",
          handle: (_params, request, response) => handle(request, response),
        },
      ],
      datasets: catalog.metrics.datasets,
      offers: { tables },
      async stop() {
        await scheduler.stop();
        await purger.stop();
        await background.stop();
        await catalog.metrics.stop();
      },
    };
  },
} satisfies Product;
