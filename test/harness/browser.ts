/** Chromium for tests of pages: the system's own, driven by playwright-core, with nothing of the user's profile. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const candidates = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/usr/bin/google-chrome-stable"];
const executable = process.env.CHROMIUM_PATH ?? candidates.find((path) => existsSync(path));

/** Why tests in a browser cannot run here, or false: for `test(…, { skip: noBrowser })`. */
export const noBrowser: string | false =
  executable === undefined ? "no Chromium on this machine (Debian: apt-get install chromium; or set CHROMIUM_PATH)" : false;

/** Starts a headless Chromium. It resolves *.localhost by itself, and connects to nothing but what pages ask for. */
export async function launchBrowser(): Promise<Browser> {
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
    ],
  });
}
