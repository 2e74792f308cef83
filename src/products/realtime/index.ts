/** Realtime: an SFU for WebRTC, a TURN service, and RealtimeKit's REST API. See README.md. */
import type { Product } from "../../kernel/product.ts";
import { openItems } from "./items.ts";
import { openJoins } from "./kit/joins.ts";
import { kitRoutes } from "./kit/kit-routes.ts";
import { openObjects } from "./kit/objects.ts";
import { kitOperations } from "./kit/operations.ts";
import { mediaSessions } from "./media-sessions.ts";
import { migrations } from "./migrations.ts";
import { itemRoutes } from "./routes.ts";
import { rtcHost, turnNames } from "./rtc-host.ts";
import { openEngine } from "./sfu/engine.ts";
import { sfuOperations } from "./sfu/operations.ts";
import { openCredentials } from "./turn/credentials.ts";
import { turnOperations } from "./turn/operations.ts";
import { openTurn } from "./turn/turn.ts";
import { openUsage } from "./turn/usage.ts";

export const realtime = {
  name: "realtime",
  status: "beta",
  provides: ["mediaSessions"],
  migrations,
  permissions: [
    { id: "686ab9a8b3854f25a1474f302d14b68d", name: "Calls Read", scopes: ["com.cloudflare.api.account"] },
    { id: "b711942448db4b0aace44d1312f9fdb0", name: "Calls Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { config, log } = kernel;
    const apps = openItems(kernel, "app", config["realtime.apps_max"]);
    const keys = openItems(kernel, "turn_key", config["realtime.turn_keys_max"]);
    const credentials = openCredentials(kernel);
    const usage = openUsage(kernel);
    const turn = openTurn(kernel, credentials, usage);
    const engine = openEngine(kernel);
    const objects = openObjects(kernel);
    const joins = openJoins(kernel, objects);
    const startTurn = async (): Promise<void> => {
      await turn.ports().catch((error: unknown) => log.error("turn.start_failed", { error }));
    };
    // Not awaited: its certificate comes from the gateway, which opens after the products.
    if (await keys.any()) void startTurn();
    return {
      routes: [
        ...itemRoutes({
          op: "realtime.apps",
          audited: "Realtime app",
          path: "apps",
          items: apps,
          secret: "secret",
          removed: async () => {},
        }),
        ...kitRoutes(objects, joins),
        ...itemRoutes({
          ...{ op: "realtime.turn_keys", audited: "TURN key", path: "turn_keys", items: keys, secret: "key" },
          created: startTurn,
          removed: async (uid) => turn.revoke(await credentials.revokeAll(uid)),
        }),
      ],
      hosts: [
        rtcHost(kernel, [...sfuOperations(kernel, apps, engine), ...turnOperations(keys, credentials, turn), ...kitOperations(joins)]),
        turnNames,
      ],
      offers: { mediaSessions: mediaSessions(engine) },
      datasets: usage.datasets,
      check: async () => ({
        ok: true,
        detail: `${turn.detail()}; SFU ${engine.address === "" ? "is not started (there was no session)" : `on ${engine.address}`}`,
      }),
      async stop() {
        await Promise.all([turn.stop(), engine.stop()]);
        await usage.stop();
      },
    };
  },
} satisfies Product;
