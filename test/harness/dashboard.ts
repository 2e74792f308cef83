/** The dashboard in Chromium: pages that are signed in as a person would be, and everything that they complained about. */
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { projectRoot, runProcess, type TestPlatform } from "./platform.ts";

/** The link that `freehold dash` prints. */
export async function signInLink(platform: TestPlatform): Promise<string> {
  const launcher = join(projectRoot, "bin", "freehold.mjs");
  const { stdout } = await runProcess(process.execPath, [launcher, "dash", "--data", platform.dir, "--json"]);
  return (JSON.parse(stdout) as { url: string }).url;
}

export interface Dashboard {
  readonly page: Page;
  /** Errors of scripts and of the page's policy, as the console shows them. Refused requests that a test expects are its to take out. */
  readonly problems: string[];
  /** Goes to a path of the dashboard. */
  open(path: string): Promise<void>;
}

/** A new window, signed in by the link. */
export async function openDashboard(platform: TestPlatform, browser: Browser, options: BrowserContextOptions = {}): Promise<Dashboard> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  const link = await signInLink(platform);
  await page.goto(link);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  return {
    page,
    problems,
    async open(path) {
      await page.goto(new URL(path, link).href);
    },
  };
}
