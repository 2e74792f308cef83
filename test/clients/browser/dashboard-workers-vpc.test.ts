/** Workers VPC's pages of the dashboard in Chromium, with a connector that dials in while they are open. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { launcher, startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const browser = noBrowser === false ? await launchBrowser() : undefined;
after(() => browser?.close());
/** A directory for screenshots. */
const pictures = process.env.FREEHOLD_PICTURES;
const account = `/accounts/${platform.ready.account_id}`;

test("[workers-vpc-17] a tunnel and a service are made by forms; the tunnel's page shows the command and who is connected", {
  skip: noBrowser,
  timeout: 120_000,
}, async (t) => {
  const { page, open, problems } = await openDashboard(platform, browser as NonNullable<typeof browser>);
  const picture = async (name: string): Promise<void> => {
    for (const colorScheme of pictures === undefined ? [] : (["light", "dark"] as const)) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(pictures as string, `workers-vpc-${name}-${colorScheme}.png`) });
    }
  };
  const dialog = page.getByRole("dialog");
  await open("/vpc/tunnels");
  await page.getByText("No tunnel yet").waitFor();
  await page.getByRole("button", { name: "Create tunnel" }).click();
  await dialog.getByLabel("Tunnel name").fill("office");
  await picture("tunnel-form");
  await dialog.getByRole("button", { name: "Save tunnel" }).click();
  await page.getByRole("heading", { name: "office", level: 1 }).waitFor();
  await page.getByText("Never connected").waitFor();

  // The command as it is shown connects the network, and the page says so by itself.
  const command = (await page.getByText(/^npx freehold tunnel run --token /).textContent()) ?? "";
  const connector = spawn(process.execPath, [launcher, ...command.split(" ").slice(2)], { stdio: ["ignore", "ignore", "inherit"] });
  t.after(() => void connector.kill());
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.getByRole("table", { name: "Connectors" }).getByText("127.0.0.1").waitFor();
  await picture("tunnel");

  await open("/vpc");
  await page.getByText("No VPC service yet").waitFor();
  await page.getByRole("button", { name: "Create VPC service" }).click();
  await dialog.getByLabel("Service name").fill("wiki");
  await dialog.getByLabel("Tunnel").selectOption({ label: "office" });
  await dialog.getByLabel("Host or IP address").fill("wiki.corp.test");
  await dialog.getByLabel("Ports").selectOption({ label: "Provide port values" });
  await dialog.getByLabel("HTTP port").fill("8080");
  await dialog.getByLabel("DNS resolver").selectOption({ label: "Custom resolver" });
  await dialog.getByLabel("Resolver IP").fill("10.0.0.53");
  await picture("service-form");
  await dialog.getByRole("button", { name: "Create service" }).click();
  const row = page.getByRole("table", { name: "VPC services" }).getByRole("row", { name: /wiki/ });
  await row.getByText("HTTP 8080").waitFor();
  const [{ id: tunnel_id }] = (await platform.rest("GET", `${account}/cfd_tunnel`)).body.result;
  const listed = async () => (await platform.rest("GET", `${account}/connectivity/directory/services`)).body.result;
  const [{ service_id, host, http_port }] = await listed();
  const resolver_network = { tunnel_id, resolver_ips: ["10.0.0.53"] };
  assert.deepEqual({ host, http_port }, { host: { hostname: "wiki.corp.test", resolver_network }, http_port: 8080 });
  await row.getByText(service_id).waitFor();

  // By address, on the default ports, with no resolver to choose; and a name that is taken is said in the form.
  await page.getByRole("button", { name: "Create VPC service" }).click();
  await dialog.getByLabel("Service name").fill("wiki");
  await dialog.getByLabel("Host or IP address").fill("10.0.1.50");
  assert.equal(await dialog.getByLabel("DNS resolver").count(), 0);
  await dialog.getByRole("button", { name: "Create service" }).click();
  await dialog
    .getByRole("alert")
    .getByText(/already exists/)
    .waitFor();
  await dialog.getByLabel("Service name").fill("api");
  await dialog.getByRole("button", { name: "Create service" }).click();
  const api = page.getByRole("table", { name: "VPC services" }).getByRole("row", { name: /api/ });
  await api.getByText("HTTP 80, HTTPS 443").waitFor();
  assert.deepEqual((await listed())[1].host, { ipv4: "10.0.1.50", network: { tunnel_id } });
  await picture("services");
  await page.getByRole("button", { name: "Delete api" }).click();
  await dialog.getByLabel("Type api to confirm").fill("api");
  await dialog.getByRole("button", { name: "Delete service" }).click();
  await api.waitFor({ state: "detached" });
  assert.equal((await listed()).length, 1);

  // A tunnel in use is deleted with its connectors.
  await page.getByRole("link", { name: "Tunnels" }).click();
  await page.getByRole("link", { name: "office" }).click();
  await page.getByRole("button", { name: "Delete tunnel" }).click();
  await dialog.getByLabel("Type office to confirm").fill("office");
  const ended = once(connector, "exit");
  await dialog.getByRole("button", { name: "Delete tunnel" }).click();
  await page.getByText("No tunnel yet").waitFor();
  assert.deepEqual(await ended, [1, null]);
  // The name that was taken is the one thing that the browser may complain about.
  assert.deepEqual(
    problems.filter((problem) => !/status of 4\d\d/.test(problem)),
    [],
  );
});
