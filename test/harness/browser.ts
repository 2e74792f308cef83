/** Chromium for tests of pages: the system's own, driven by playwright-core, with nothing of the user's profile. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const candidates = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/usr/bin/google-chrome-stable"];
const executable = process.env.CHROMIUM_PATH ?? candidates.find((path) => existsSync(path));

/** Why tests in a browser cannot run here, or false: for `test(…, { skip: noBrowser })`. */
export const noBrowser: string | false =
  executable === undefined ? "no Chromium on this machine (Debian: apt-get install chromium; or set CHROMIUM_PATH)" : false;

/** Whether Chromium's sandbox works here: containers often keep user namespaces from those who are not root. */
const sandbox = spawnSync("unshare", ["--user", "true"], process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}).status === 0;

/** Configuration of a platform whose Browser Rendering uses this machine's Chromium. */
export const browserSettings = { "browser_rendering.chromium": executable ?? "", "browser_rendering.sandbox": sandbox };

/**
 * Starts a headless Chromium. It resolves *.localhost by itself, and names that fit a pattern of `hosts` ("*.shop.example") to
 * the address that is given; it connects to nothing but what pages ask for. `flags` are more of its own.
 */
export async function launchBrowser(hosts: Readonly<Record<string, string>> = {}, flags: readonly string[] = []): Promise<Browser> {
  if (executable === undefined) throw new Error(String(noBrowser));
  return chromium.launch({
    executablePath: executable,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--host-resolver-rules=${Object.entries(hosts)
        .map(([pattern, address]) => `MAP ${pattern} ${address}`)
        .join(", ")}`,
      ...flags,
    ],
  });
}
