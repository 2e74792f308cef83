/**
 * R2: buckets of objects behind three doors (Worker binding, S3 API, REST) over one store. Rows in meta, bytes in
 * blobs; `README.md` has the guarantees and what is missing.
 */
import type { Product } from "../../kernel/product.ts";
import { writeRate } from "../../kernel/write-rate.ts";
import { r2Binding } from "./binding.ts";
import { serveBinding } from "./binding-protocol.ts";
import { bucketEvents } from "./buckets.ts";
import { objectsCapability } from "./capability.ts";
import { commitQueue } from "./commit-queue.ts";
import type { R2 } from "./context.ts";
import { openCustomDomains } from "./domains.ts";
import { r2Error } from "./errors.ts";
import { garbage } from "./garbage.ts";
import { hashPool } from "./hash-pool.ts";
import { startLifecycle } from "./lifecycle.ts";
import { COPY_IDLE_MS, LocalCopies } from "./local-copies.ts";
import { migrations } from "./migrations.ts";
import { openNotifications } from "./notifications.ts";
import { permissions } from "./permissions.ts";
import { publicDoor } from "./public.ts";
import { publicCache } from "./public-cache.ts";
import { bucketRoutes } from "./routes-buckets.ts";
import { notificationRoutes } from "./routes-notifications.ts";
import { objectRoutes } from "./routes-objects.ts";
import { settingRoutes } from "./routes-settings.ts";
import { sippyRoutes } from "./routes-sippy.ts";
import { s3Door } from "./s3/door.ts";
import { openSippy } from "./sippy.ts";
import { openUsage } from "./usage.ts";

export const r2 = {
  name: "r2",
  status: "beta",
  needs: ["contentCache", "queueSender", "zones"],
  provides: ["objects"],
  migrations,
  permissions,
  async start({ log, clock, config, meta, blobs, leases, accountId, auth, mint, urls, secrets, audit, get }) {
    const queues = get("queueSender");
    queues.addEventSource("r2", bucketEvents);
    const context: R2 = {
      log,
      clock,
      config,
      meta,
      blobs,
      accountId,
      commits: commitQueue(meta),
      leases,
      garbage: garbage(meta, blobs, log),
      hashes: hashPool(),
      copies: new LocalCopies({
        directory: blobs.scratch,
        idleMaxBytes: config["r2.local_copies_bytes"],
        idleMs: COPY_IDLE_MS,
        log,
      }),
      usage: openUsage(meta, clock, log),
      notifications: await openNotifications({ meta, clock, log, accountId, queues }),
      audit,
      rate: writeRate(config["r2.write_per_key_per_s"], clock, () => r2Error("tooManyRequests")),
      announce: queues.announce,
      sippy: await openSippy({ meta, clock, secrets, allowPrivate: config["r2.sippy_allow_private"] }),
      guards: [],
    };
    context.garbage.kick();
    const lifecycle = startLifecycle(context, config["r2.lifecycle_interval_s"] * 1000);
    const s3 = s3Door(context, auth);
    const domains = await openCustomDomains(context);
    const everybody = publicDoor(context, domains, publicCache(get("contentCache").open("r2"), get("zones"), clock));
    return {
      hosts: [
        {
          name: "r2",
          patterns: ["{bucket}.{account}.{jurisdiction}.r2", "{bucket}.{account}.r2", "{account}.r2"],
          publicHosts: [
            "{bucket}.{account}.{jurisdiction}.r2.cloudflarestorage.com",
            "{bucket}.{account}.r2.cloudflarestorage.com",
            "{account}.r2.cloudflarestorage.com",
          ],
          signed: true,
          wholeHost: true,
          handle: (params, request, response) => s3.handle(params, request, response),
        },
        {
          name: "r2_public",
          patterns: ["{public}.r2dev"],
          publicHosts: ["{public}.r2.dev"],
          wholeHost: true,
          resolve: (host) => (domains.bucketId(host) === undefined ? undefined : { domain: host }),
          handle: ({ domain, public: label = "" }, request, response) =>
            domain === undefined ? everybody.byLabel(label, request, response) : everybody.byDomain(domain, request, response),
        },
      ],
      routes: [
        ...bucketRoutes(context, auth),
        ...objectRoutes(context),
        ...settingRoutes(context, urls, domains),
        ...notificationRoutes(context, queues),
        ...sippyRoutes(context, auth),
      ],
      bindings: { r2_bucket: r2Binding(context, mint) },
      internal: (claims, request, response) => serveBinding(context, claims, request, response),
      datasets: context.usage.datasets,
      offers: { objects: objectsCapability(context, auth) },
      async stop() {
        await lifecycle.stop();
        await context.sippy.stop();
        await context.notifications.stop();
        await context.garbage.stop();
        await context.hashes.stop();
        await context.copies.stop();
        await context.usage.stop();
      },
    };
  },
} satisfies Product;
