/** The REST actions themselves: what each answers about a page that is open. */
import { pdf, screenshot } from "./capture.ts";
import { markdown } from "./markdown.ts";
import { type PageMeta, within } from "./navigation.ts";
import type { ActionName, Options } from "./options.ts";
import type { Page } from "./page.ts";

export type ActionResult = { readonly result: unknown; readonly meta: PageMeta } | { readonly type: string; readonly bytes: Buffer };

const CONTENT = `() => {
  const { doctype, documentElement } = document;
  return (doctype === null ? "" : new XMLSerializer().serializeToString(doctype)) + (documentElement?.outerHTML ?? "");
}`;

const SCRAPE = `(elements) => elements.map(({ selector }) => ({
  results: Array.from(document.querySelectorAll(selector), (element) => {
    const { left, top } = element.getBoundingClientRect();
    return {
      attributes: Array.from(element.attributes, ({ name, value }) => ({ name, value })),
      height: element.offsetHeight ?? 0,
      html: element.innerHTML,
      left,
      text: element.innerText ?? element.textContent,
      top,
      width: element.offsetWidth ?? 0,
    };
  }),
  selector,
}))`;

const LINKS = `(visibleOnly) => [document.baseURI, Array.from(document.querySelectorAll("a[href]"))
  .filter((link) => !visibleOnly || link.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
  .map((link) => link.getAttribute("href"))]`;

const SCROLL = `(step) => new Promise((resolve) => {
  let left = 200;
  const timer = setInterval(() => {
    scrollBy(0, step);
    if (--left > 0 && scrollY + innerHeight < document.documentElement.scrollHeight - 1) return;
    clearInterval(timer);
    scrollTo(0, 0);
    requestAnimationFrame(() => requestAnimationFrame(resolve));
  }, 50);
})`;

/** Time that an action may take on a page that is loaded, where it sets no other. */
const ACTION_TIMEOUT_MS = 30_000;

const actions: { readonly [A in ActionName]: (page: Page, options: Options<A>) => Promise<ActionResult> } = {
  content: async (page) => described(page, await page.call<string>(CONTENT)),
  markdown: async (page) => described(page, await markdown(page)),
  // What the model gets: `extract.ts` makes the answer of it, without the browser.
  json: async (page) => described(page, await markdown(page)),
  async screenshot(page, { screenshotOptions, selector, scrollPage, viewport }) {
    if (scrollPage === true) await page.call(SCROLL, Math.ceil(viewport.height / 2));
    const data = await screenshot(page, screenshotOptions, selector);
    const type = `image/${screenshotOptions.type}`;
    if (screenshotOptions.encoding === "base64") return { type: "text/plain", bytes: Buffer.from(`data:${type};base64,${data}`) };
    return { type, bytes: Buffer.from(data, "base64") };
  },
  pdf: async (page, { pdfOptions }) => ({ type: "application/pdf", bytes: Buffer.from(await pdf(page, pdfOptions), "base64") }),
  async snapshot(page, { screenshotOptions, formats }) {
    const result: Record<string, string> = {};
    if (formats.includes("content")) result.content = await page.call<string>(CONTENT);
    if (formats.includes("screenshot")) result.screenshot = await screenshot(page, screenshotOptions);
    if (formats.includes("markdown")) result.markdown = await markdown(page);
    return described(page, result);
  },
  scrape: async (page, { elements }) => described(page, await page.call(SCRAPE, elements)),
  async links(page, { visibleLinksOnly, excludeExternalLinks, url }) {
    const [base, hrefs] = await page.call<[string, string[]]>(LINKS, visibleLinksOnly);
    const links = new Set(hrefs.filter((href) => href !== "" && !href.startsWith("#")).map((href) => URL.parse(href, base)?.href ?? href));
    const here = URL.parse(base)?.hostname || URL.parse(url ?? "")?.hostname;
    const kept = [...links].filter((link) => !excludeExternalLinks || !here || siteOf(URL.parse(link)?.hostname ?? "") === siteOf(here));
    return described(page, kept);
  },
};

/** Does the action within its time. */
export function act<A extends ActionName>(name: A, page: Page, options: Options<A>): Promise<ActionResult> {
  const { actionTimeout } = options;
  const { pdfOptions } = options as Partial<Options<"pdf">>;
  const timeout = pdfOptions?.timeout ?? actionTimeout ?? ACTION_TIMEOUT_MS;
  return Promise.race([within(timeout, actions[name](page, options as never), `The action timed out after ${timeout} ms`), page.tab.lost]);
}

async function described(page: Page, result: unknown): Promise<ActionResult> {
  return { result, meta: page.meta(await page.call<string>("() => document.title")) };
}

/** What the real service takes for one site: the last two labels of a name. */
const siteOf = (host: string): string => host.split(".").slice(-2).join(".");
