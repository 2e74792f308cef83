/**
 * Loaded by every Node program under `freehold exec` (NODE_OPTIONS=--require). Node's own fetch takes the proxy of the
 * environment, but HTTP agents that a program makes for itself do not, and with such an agent the AWS SDK, also inside
 * wrangler, would call the real service's host names. Here they get Node's own proxy support, unless the program chose
 * otherwise. Does nothing in versions of Node that have none (before 24.5).
 */
const http = require("node:http");
const https = require("node:https");
const { syncBuiltinESMExports } = require("node:module");

require("./remote-preview.cjs");

const [major, minor] = process.versions.node.split(".").map(Number);

if (major > 24 || (major === 24 && minor >= 5)) {
  for (const module of [http, https]) {
    const Agent = module.Agent;
    module.Agent = new Proxy(Agent, {
      construct(target, [options], newTarget) {
        // Classes made from Agent may be proxies of their own.
        const direct = newTarget === module.Agent || newTarget === Agent;
        return Reflect.construct(target, [direct ? { proxyEnv: process.env, ...options } : options], newTarget);
      },
    });
  }
  syncBuiltinESMExports();
}
