/** Starts browsers: one proxy for all of them, one directory for their profiles, and nothing left of a killed predecessor's. */
import { chown, rm } from "node:fs/promises";
import { join } from "node:path";
import type { KernelSlice, ProgramProxy } from "../../kernel/product.ts";
import { openRunDirectory } from "../../kernel/workerd/run-directory.ts";
import { type Browser, openBrowser } from "./browser.ts";
import { findChromium, HOW_TO_GET, runAs, startChromium } from "./chromium.ts";
import { browserError } from "./errors.ts";

export interface Launcher {
  /** Resolves when the browser answers. Rejects with `browserRendering.noChromium` or `browserRendering.startFailed`. */
  launch(): Promise<Browser>;
  /** Path of the browser, if there is one. */
  readonly executable: string | undefined;
  /** Ends the proxy and what is left of the directory; the browsers have ended. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;

export async function openLauncher({ config, log, directory: state, openProxy }: KernelSlice): Promise<Launcher> {
  const executable = findChromium(config["browser_rendering.chromium"]);
  const directory = await openRunDirectory(join(state, "run-directory"));
  const user = runAs(config["browser_rendering.user"]);
  if (user !== undefined) await chown(directory, user.uid, user.gid);
  let proxy: Promise<ProgramProxy> | undefined;

  return {
    executable,
    async launch() {
      if (executable === undefined) throw browserError("noChromium", HOW_TO_GET);
      proxy ??= openProxy(config["browser_rendering.private_hosts"]);
      const options = { config, log, directory, proxy: await proxy };
      const browser = await openBrowser((receive) => startChromium(executable, { ...options, receive }));
      const late = setTimeout(() => browser.kill(`it did not answer within ${START_TIMEOUT_MS / 1000} s`), START_TIMEOUT_MS);
      try {
        await browser.command("Browser.getVersion");
      } catch (cause) {
        throw browserError("startFailed", `Chromium did not start: ${await browser.ended}`, { cause });
      } finally {
        clearTimeout(late);
      }
      return browser;
    },
    async stop() {
      await (await proxy)?.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
