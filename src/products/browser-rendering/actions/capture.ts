/** Pictures and prints of a page: options in the terms of Puppeteer, which the documentation uses, as commands of the protocol. */
import type { PdfOptions, ScreenshotOptions } from "./options.ts";
import type { Page } from "./page.ts";

interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const BOX_OF = `(selector) => {
  const element = document.querySelector(selector);
  if (element === null) return null;
  element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
  const { left, top, width, height } = element.getBoundingClientRect();
  return { x: left + scrollX, y: top + scrollY, width, height };
}`;

/** The picture in base64. `selector`: of this element alone. */
export async function screenshot({ tab, call }: Page, options: ScreenshotOptions, selector?: string): Promise<string> {
  const { type: format, quality, omitBackground, fullPage, fromSurface, optimizeForSpeed } = options;
  let clip: (Rectangle & { scale?: number | undefined }) | undefined = options.clip;
  if (selector !== undefined) {
    const box = await call<Rectangle | null>(BOX_OF, selector);
    if (box === null) throw new Error(`No element was found for the selector: ${selector}`);
    clip = box;
  } else if (fullPage === true) {
    const { cssContentSize } = await tab.send<{ cssContentSize: Rectangle }>("Page.getLayoutMetrics");
    clip = { ...cssContentSize, x: 0, y: 0 };
  }
  const transparent = omitBackground === true && format !== "jpeg";
  if (transparent) await tab.send("Emulation.setDefaultBackgroundColorOverride", { color: { r: 0, g: 0, b: 0, a: 0 } });
  const { data } = await tab.send<{ data: string }>("Page.captureScreenshot", {
    format,
    ...(quality !== undefined && { quality }),
    ...(clip !== undefined && { clip: whole({ scale: 1, ...clip }) }),
    ...(fromSurface !== undefined && { fromSurface }),
    ...(optimizeForSpeed !== undefined && { optimizeForSpeed }),
    captureBeyondViewport: clip !== undefined && options.captureBeyondViewport !== false,
  });
  return data;
}

/** Whole pixels, and none of the element lost. */
function whole({ x, y, width, height, scale }: Rectangle & { scale?: number | undefined }): object {
  const left = Math.round(x);
  const top = Math.round(y);
  return { x: left, y: top, width: Math.round(width + x - left), height: Math.round(height + y - top), scale: scale ?? 1 };
}

/** Inches. */
const PAPER: Readonly<Record<PdfOptions["format"], readonly [width: number, height: number]>> = {
  letter: [8.5, 11],
  legal: [8.5, 14],
  tabloid: [11, 17],
  ledger: [17, 11],
  a0: [33.1102, 46.811],
  a1: [23.3858, 33.1102],
  a2: [16.5354, 23.3858],
  a3: [11.6929, 16.5354],
  a4: [8.2677, 11.6929],
  a5: [5.8268, 8.2677],
  a6: [4.1339, 5.8268],
};

const PER_INCH: Readonly<Record<string, number>> = { px: 96, in: 1, cm: 2.54, mm: 25.4 };

function inches(length: string | number | undefined): number | undefined {
  if (length === undefined) return undefined;
  const [, amount, unit = "px"] = /^([\d.]+)(\w+)?$/.exec(String(length)) as RegExpExecArray;
  return Number(amount) / (PER_INCH[unit] as number);
}

/** The document in base64. */
export async function pdf({ tab }: Page, options: PdfOptions): Promise<string> {
  const [width, height] = PAPER[options.format];
  const { margin } = options;
  if (options.omitBackground === true) await tab.send("Emulation.setDefaultBackgroundColorOverride", { color: { r: 0, g: 0, b: 0, a: 0 } });
  const { data } = await tab.send<{ data: string }>("Page.printToPDF", {
    landscape: options.landscape,
    displayHeaderFooter: options.displayHeaderFooter,
    headerTemplate: options.headerTemplate,
    footerTemplate: options.footerTemplate,
    printBackground: options.printBackground,
    scale: options.scale,
    paperWidth: inches(options.width) ?? width,
    paperHeight: inches(options.height) ?? height,
    marginTop: inches(margin.top) ?? 0,
    marginBottom: inches(margin.bottom) ?? 0,
    marginLeft: inches(margin.left) ?? 0,
    marginRight: inches(margin.right) ?? 0,
    pageRanges: options.pageRanges,
    preferCSSPageSize: options.preferCSSPageSize,
    generateTaggedPDF: options.tagged,
    generateDocumentOutline: options.outline,
  });
  return data;
}
