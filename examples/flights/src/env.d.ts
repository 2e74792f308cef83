/** What `wrangler types` would write for this Worker. */
interface Env {
  ASSETS: Fetcher;
  CACHE: KVNamespace;
  REPORTS: R2Bucket;
  DB: D1Database;
  STREAM: import("cloudflare:pipelines").Pipeline<import("./index.ts").Flight>;
  COUNTER: DurableObjectNamespace<import("./counter.ts").Counter>;
  ADMIN_SECRET: string;
  TITLE: string;
  SETTINGS: { late_after_minutes: number };
}
