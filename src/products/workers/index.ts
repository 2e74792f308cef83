/**
 * Workers: scripts with versions and deployments, their processes, and the ways in (HTTP by host name, service bindings,
 * cron). This file puts the parts together; see README.md for the surface.
 */
import { join } from "node:path";
import type { Dispatch, DurableObjects } from "../../kernel/capabilities.ts";
import { ConnectionPool } from "../../kernel/gateway/http-connection.ts";
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { openAccount } from "./account.ts";
import { wakeForAlarms } from "./alarms.ts";
import { openAssets } from "./assets.ts";
import { workerBindings } from "./bindings.ts";
import { clientCertificates } from "./client-certificates.ts";
import { CpuMeter } from "./cpu-meter.ts";
import { createCron } from "./cron.ts";
import { DailyLimit, dayOf } from "./daily-limit.ts";
import { createDeployer } from "./deploy.ts";
import { actOnEmail } from "./email-actions.ts";
import { createEvents } from "./events.ts";
import { htmlRewriting } from "./html-pages.ts";
import { type Killed, workerFront } from "./http.ts";
import { traceReceiver } from "./internal.ts";
import { openInvocations } from "./invocations.ts";
import { killedTrace } from "./killed.ts";
import { openLinks } from "./links.ts";
import { migrations } from "./migrations.ts";
import { openOrigins } from "./origins.ts";
import { ownedWorkers } from "./owned.ts";
import { previewRoutes } from "./preview-routes.ts";
import { openPreviews } from "./previews.ts";
import { type PlanContext, PROTO_HEADER } from "./process.ts";
import { pyodideModules } from "./python/pyodide.ts";
import { rateLimits } from "./rate-limits.ts";
import { workerRoutes } from "./routes.ts";
import { openRouting } from "./routing.ts";
import { routingRoutes } from "./routing-routes.ts";
import { serviceBinding } from "./service-bindings.ts";
import { createServing } from "./serving.ts";
import { sourceMappedStacks } from "./source-maps.ts";
import { openScriptStore } from "./store.ts";
import { createTails, outputTrace } from "./tails.ts";
import { userWorkerRoutes } from "./user-worker-routes.ts";
import { userCalls } from "./user-workers.ts";

export const workers = {
  name: "workers",
  status: "beta",
  needs: ["contentCache", "customHostnames", "durableObjects", "imageTransforms", "telemetry", "zones"],
  provides: ["certificates", "dispatch", "htmlPages", "ownedWorkers", "userWorkers"],
  migrations,
  permissions: [
    { id: "e086da7e2179491d91ee5f35b3ca210a", name: "Workers Scripts Write", scopes: ["com.cloudflare.api.account"] },
    { id: "1a71c399035b4950a1bd1466bbe4f420", name: "Workers Scripts Read", scopes: ["com.cloudflare.api.account"] },
    { id: "05880cd1bdc24d8bae0be2136972816b", name: "Workers Tail Read", scopes: ["com.cloudflare.api.account"] },
    { id: "db37e5f1cb1a4e1aabaef8deaea43575", name: "Account: SSL and Certificates Write", scopes: ["com.cloudflare.api.account"] },
    { id: "92209474242d459690e2cdb1985eaa6c", name: "Account: SSL and Certificates Read", scopes: ["com.cloudflare.api.account"] },
    { id: "28f4b596e7d643029c524985477ae49a", name: "Workers Routes Write", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "2072033d694d415a936eaeb94e6405b8", name: "Workers Routes Read", scopes: ["com.cloudflare.api.account.zone"] },
  ],
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const durableObjects: DurableObjects = kernel.get("durableObjects");
  const store = await openScriptStore(kernel.meta, kernel.clock);
  const assets = openAssets(kernel);
  const account = await openAccount(kernel.meta);
  const pool = new ConnectionPool();
  const meter = new CpuMeter(kernel.runtime);
  let namespaceName: (id: string) => string | undefined = () => undefined;
  const invocations = openInvocations(kernel, meter, {
    processId: (versionId) => serving.processOf(versionId),
    namespaceName: (id) => namespaceName(id),
  });
  const extensions: Parameters<Dispatch["extend"]>[0][] = [];
  const awake: ((scriptId: string) => boolean)[] = [];
  const { "workers.daily_requests": dailyMax } = kernel.config;
  const daily = new DailyLimit(dailyMax, kernel.clock, dailyMax === 0 ? 0 : await invocations.since(dayOf(kernel.clock.now())));
  const context: PlanContext = {
    kernel,
    extensions,
    awake,
    assets,
    durableObjects,
    cache: kernel.get("contentCache"),
    pyodide: pyodideModules(join(kernel.directory, "python")),
    images: kernel.get("imageTransforms"),
    telemetry: kernel.get("telemetry"),
    subdomain: account.subdomain.get,
    link: (destination) => links.open(destination),
  };
  const serving = createServing(
    context,
    store,
    () => links,
    (scriptId) => routing.zonesOf(scriptId),
    meter,
  );
  const links = await openLinks({ pool, log: kernel.log, lease: (target, version) => serving.lease(target, { version }), invocations });
  durableObjects.reachedBy((script, version) => serving.lease(script, { version }));
  durableObjects.scriptsBy((name) => store.live(name)?.script);
  await serving.arrangeObjects();
  const zones = kernel.get("zones");
  const customHostnames = kernel.get("customHostnames");
  const routing = await openRouting(kernel.meta, kernel.clock, { zones, customHostnames }, serving.rerouted);
  const html = htmlRewriting(zones);
  const origins = openOrigins(kernel, { zones, customHostnames, images: context.images, html }, account.subdomain.get);
  const deployer = createDeployer(context, store, serving, routing, () => previews.manifests());
  const tails = createTails(kernel, store, serving);
  const previews = openPreviews(context, deployer, tails, zones);
  const events = createEvents(serving, kernel.log, invocations, kernel.config["workers.event_timeout_ms"]);
  const cron = createCron({ meta: kernel.meta, clock: kernel.clock, log: kernel.log, store, events });
  await cron.start();
  const stacks = sourceMappedStacks(kernel.blobs, kernel.log, store.version);
  const certificates = clientCertificates(kernel, store);
  const traces = traceReceiver(kernel.log, { store, tails, stacks, meter, telemetry: context.telemetry });
  context.telemetry.addWorkers(() =>
    store.all().map(({ script }) => ({ scriptName: script.name, settings: script.settings.observability })),
  );
  const users = userCalls(kernel, { pool, serving, invocations });
  const limits = rateLimits(kernel.clock, kernel.mint);
  const removalChecks: ((script: string) => void)[] = [];
  const alarms = wakeForAlarms({ kernel, store, serving, durableObjects });

  const onExceeded = ({ version, outcome, request, startedAt, ray }: Killed): void => {
    const trace = killedTrace(outcome, request, startedAt, kernel.clock.now(), ray);
    tails.publish(version.scriptId, version.id, [trace]);
    traces.keep(version.scriptId, version.id, trace);
  };

  const front = workerFront({
    kernel,
    store,
    serving,
    pool,
    subdomain: account.subdomain.get,
    customHostnames,
    routing,
    origins,
    html,
    invocations,
    daily,
    previews,
    onExceeded,
  });

  return {
    routes: [
      ...workerRoutes({ kernel, store, deployer, assets, cron, tails, durableObjects, subdomain: account.subdomain, removalChecks }),
      ...routingRoutes(routing, zones, store),
      ...certificates.routes,
      ...previewRoutes(kernel, previews, account.subdomain.get),
    ],
    hosts: [...front.hosts, tails.route],
    bindings: {
      ...workerBindings(kernel, store),
      service: serviceBinding(store),
      ratelimit: limits.binding,
      mtls_certificate: certificates.binding,
    },
    async internal(claims, request, response) {
      if (claims.kind === "ratelimit") return limits.serve(claims, request, response);
      if (claims.kind === "own-host") {
        const scheme = request.headers[PROTO_HEADER] === "https" ? "https" : "http";
        return origins.passOut({ name: String(claims.script), strict: claims.strict === true }, request, response, scheme);
      }
      if (claims.kind === "outbound") return users.passOut(claims, request, response);
      if (claims.kind === "email") return actOnEmail(events, request, response);
      return traces.receive(claims, request, response);
    },
    async internalUpgrade(claims, request, socket, head) {
      if (claims.kind === "outbound") return users.upgradeOut(claims, request, socket, head);
      socket.destroy();
    },
    datasets: { workersInvocationsAdaptive: invocations.dataset },
    offers: {
      certificates: certificates.certificates,
      dispatch: {
        ...events,
        has: (script) => store.listed(script) !== undefined,
        bound: (matches) =>
          store
            .all()
            .filter(({ versions }) => versions.some((version) => version.bindings.some(matches)))
            .map(({ script }) => script.name),
        exports: (script) => store.listed(script)?.versions[0]?.exports,
        extend: (parts) => void extensions.push(parts),
        keepAwake: (busy) => void awake.push(busy),
        async enter(script) {
          const lease = await serving.lease(script);
          lease.openEnded();
          return { ...lease, scriptId: lease.version.scriptId };
        },
        showOutput(scriptId, origin, lines) {
          const live = store.liveById(scriptId);
          const version = live?.versions[0];
          if (version === undefined || !tails.listening(scriptId)) return;
          tails.publish(scriptId, version.id, [outputTrace(live?.script.name ?? "", version.id, origin, lines)]);
        },
        beforeRemoval: (check) => void removalChecks.push(check),
      },
      htmlPages: html.pages,
      ownedWorkers: ownedWorkers({ store, deployer, front, tails, invocations }),
      userWorkers: {
        routes: (options) => userWorkerRoutes({ kernel, store, deployer, assets, durableObjects }, options),
        count: store.countOfNamespace,
        async removeAll(namespace) {
          for (const { script } of await store.ofNamespace(namespace)) await deployer.remove(script.name);
          await deployer.removeSharedAssets(namespace);
        },
        call: users.call,
        upgrade: users.upgrade,
        namedBy(nameOf) {
          namespaceName = nameOf;
        },
      },
    },
    check: async () => ({ ok: true, detail: `${store.all().length} Workers` }),
    async stop() {
      alarms.stop();
      await cron.stop();
      await previews.close();
      tails.close();
      await links.close();
      await origins.close();
      await invocations.stop();
      pool.close();
    },
  };
}
