/** D1's dataset of the GraphQL Analytics API, which `wrangler d1 info` reads (docs/d1/observability/metrics-analytics). */
import type { Dataset } from "../../kernel/product.ts";
import type { Engine } from "./engine.ts";

export function usageDataset(engine: Engine): Dataset {
  return {
    permission: ["Account Analytics Read", "D1 Read"],
    async facts({ from, to }) {
      const hours = await engine.usage(from, to, null);
      return hours.map(({ hour, database, readQueries, writeQueries, rowsRead, rowsWritten }) => ({
        time: hour,
        dimensions: { databaseId: database },
        sum: { readQueries, writeQueries, rowsRead, rowsWritten },
      }));
    },
  };
}
