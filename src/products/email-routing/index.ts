/**
 * Email Routing: mail for the account's domains comes in by SMTP and is forwarded, dropped, or handed to a Worker; Workers
 * send by the binding `send_email`. README.md has the surface and what an operator sets up.
 */
import type { Product } from "../../kernel/product.ts";
import { openActivity } from "./activity.ts";
import { addressRoutes } from "./address-routes.ts";
import { emailBinding, takeMessage } from "./binding.ts";
import { openDestinations } from "./destinations.ts";
import { createInvitations } from "./invitation.ts";
import { openKeys } from "./keys.ts";
import { migrations } from "./migrations.ts";
import { openOutbound } from "./outbound.ts";
import { createReceiver } from "./receiver.ts";
import { openDns } from "./resolver.ts";
import { emailRoutes } from "./routes.ts";
import { ruleRoutes } from "./rule-routes.ts";
import { openRules } from "./rules.ts";
import { openSent } from "./sent.ts";
import { openSettings } from "./settings.ts";
import { settingsRoutes } from "./settings-routes.ts";
import { openSmtp } from "./smtp.ts";
import { senderRewriting } from "./srs.ts";

export const emailRouting = {
  name: "email-routing",
  status: "beta",
  needs: ["dispatch", "zones"],
  migrations,
  permissions: [
    { id: "5272e56105d04b5897466995b9bd4643", name: "Email Routing Addresses Read", scopes: ["com.cloudflare.api.account"] },
    { id: "e4589eb09e63436686cd64252a3aebeb", name: "Email Routing Addresses Write", scopes: ["com.cloudflare.api.account"] },
    { id: "1b600d9d8062443e986a973f097e728a", name: "Email Routing Rules Read", scopes: ["com.cloudflare.api.account.zone"] },
    { id: "79b3ec0d10ce4148a8f8bdc0cc5f97f2", name: "Email Routing Rules Write", scopes: ["com.cloudflare.api.account.zone"] },
  ],
  async start(kernel) {
    const { config, secrets } = kernel;
    const dispatch = kernel.get("dispatch");
    const zones = kernel.get("zones");
    const sent = openSent(kernel, kernel.blobs);
    const keys = openKeys(kernel);
    const dns = openDns(config["email_routing.dns_servers"]);
    const outbound = openOutbound(config, dns);
    const settings = await openSettings(kernel, zones, keys);
    const destinations = await openDestinations(kernel);
    const rules = await openRules(kernel, destinations);
    const activity = openActivity(kernel);
    const rewriting = senderRewriting(secrets.derive("email-routing/srs"));
    const receiver = createReceiver({ kernel, settings, rules, destinations, keys, dns, outbound, rewriting, dispatch, sent, activity });
    const smtp = config["email_routing.smtp_port"] === 0 ? undefined : await openSmtp(kernel, receiver, dns);
    return {
      routes: [
        ...emailRoutes(sent),
        ...settingsRoutes(zones, settings),
        ...ruleRoutes({ zones, settings, rules, destinations, dispatch }),
        ...addressRoutes(destinations, rules, createInvitations(kernel, keys, outbound, sent)),
      ],
      bindings: { send_email: emailBinding(kernel.mint) },
      internal: (claims, request, response) => takeMessage({ sent, outbound, settings, destinations, keys }, claims, request, response),
      datasets: activity.datasets,
      check: async () => ({
        ok: true,
        detail: smtp === undefined ? "no SMTP (email_routing.smtp_port)" : `SMTP on ${smtp.address.address}:${smtp.address.port}`,
      }),
      async stop() {
        await smtp?.close();
        await activity.stop();
      },
    };
  },
} satisfies Product;
