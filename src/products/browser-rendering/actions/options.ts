/**
 * What a REST action is asked for: the options of all actions and their limits (docs/browser-rendering/rest-api,
 * reference/timeouts). `goToOptions` is another spelling of `gotoOptions` in the documentation.
 */
import { z } from "zod";

const lifecycle = z.enum(["load", "domcontentloaded", "networkidle0", "networkidle2"]);
export type Lifecycle = z.infer<typeof lifecycle>;

const resourceType = z.enum([
  "document",
  "stylesheet",
  "image",
  "media",
  "font",
  "script",
  "texttrack",
  "xhr",
  "fetch",
  "prefetch",
  "eventsource",
  "websocket",
  "manifest",
  "signedexchange",
  "ping",
  "cspviolationreport",
  "preflight",
  "other",
]);

/** Sizes in CSS pixels; what Chromium can paint. */
const PIXELS_MAX = 16_384;
const wait = z.number().min(0).max(120_000, "Timeout cannot exceed 120000ms.");
/** `actionTimeout` and `pdfOptions.timeout`: documented five minutes. */
const actionWait = z.number().min(0).max(300_000, "Timeout cannot exceed 300000ms.");
const pixels = z.number().int().min(1).max(PIXELS_MAX);
const webAddress = z.url({ protocol: /^https?$/, error: "chrome://, javascript:, and file:// URLs are not allowed" });
const pattern = z.string().refine(isPattern, { error: "Invalid regular expression" });

const gotoOptions = z.strictObject({
  timeout: z.number().min(0).max(60_000, "Timeout cannot exceed 60000ms.").default(30_000),
  waitUntil: z.union([lifecycle, z.array(lifecycle).min(1)]).default("domcontentloaded"),
  referer: z.string().optional(),
  referrerPolicy: z.string().optional(),
});

const common = {
  url: webAddress.optional(),
  html: z.string().min(1).optional(),
  addScriptTag: z
    .array(
      z.strictObject({
        content: z.string().optional(),
        url: webAddress.optional(),
        type: z.string().optional(),
        id: z.string().optional(),
      }),
    )
    .optional(),
  addStyleTag: z
    .array(z.strictObject({ content: z.string().optional(), url: webAddress.optional() }))
    .refine((tags) => tags.every(({ content, url }) => content !== undefined || url !== undefined), {
      error: "Each style tag must have either 'content' or 'url' defined.",
    })
    .optional(),
  authenticate: z.strictObject({ username: z.string().min(1), password: z.string().min(1) }).optional(),
  cookies: z
    .array(
      z.strictObject({
        name: z.string(),
        value: z.string(),
        url: z.string().optional(),
        domain: z.string().optional(),
        path: z.string().optional(),
        secure: z.boolean().optional(),
        httpOnly: z.boolean().optional(),
        sameSite: z.enum(["Strict", "Lax", "None"]).optional(),
        expires: z.number().optional(),
        priority: z.enum(["Low", "Medium", "High"]).optional(),
        sameParty: z.boolean().optional(),
        sourceScheme: z.enum(["Unset", "NonSecure", "Secure"]).optional(),
        sourcePort: z.number().optional(),
        partitionKey: z.string().optional(),
      }),
    )
    .optional(),
  emulateMediaType: z.string().optional(),
  gotoOptions: gotoOptions.optional(),
  goToOptions: gotoOptions.optional(),
  rejectRequestPattern: z.array(pattern).optional(),
  allowRequestPattern: z.array(pattern).optional(),
  rejectResourceTypes: z.array(resourceType).optional(),
  allowResourceTypes: z.array(resourceType).optional(),
  setExtraHTTPHeaders: z.record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/), z.string().regex(/^[^\r\n\0]*$/)).optional(),
  setJavaScriptEnabled: z.boolean().optional(),
  userAgent: z
    .string()
    .regex(/^[^\r\n\0]*$/)
    .optional(),
  viewport: z
    .strictObject({
      width: pixels,
      height: pixels,
      deviceScaleFactor: z.number().min(0.1).max(10).optional(),
      isMobile: z.boolean().optional(),
      isLandscape: z.boolean().optional(),
      hasTouch: z.boolean().optional(),
    })
    .default({ width: 1920, height: 1080 }),
  waitForSelector: z
    .strictObject({ selector: z.string(), hidden: z.boolean().optional(), visible: z.boolean().optional(), timeout: wait.optional() })
    .optional(),
  waitForTimeout: wait.optional(),
  actionTimeout: actionWait.optional(),
  bestAttempt: z.boolean().optional(),
  cacheTTL: z.number().optional(),
};

const screenshotShape = {
  type: z.enum(["png", "jpeg", "webp"]).default("png"),
  quality: z.number().int().min(0).max(100).optional(),
  fullPage: z.boolean().optional(),
  clip: z
    .strictObject({
      x: z.number(),
      y: z.number(),
      width: z.number().positive().max(PIXELS_MAX),
      height: z.number().positive().max(PIXELS_MAX),
      scale: z.number().positive().max(10).optional(),
    })
    .optional(),
  omitBackground: z.boolean().optional(),
  captureBeyondViewport: z.boolean().optional(),
  fromSurface: z.boolean().optional(),
  optimizeForSpeed: z.boolean().optional(),
};
const sound = (
  options: { type: string; quality?: number | undefined; fullPage?: boolean | undefined; clip?: unknown },
  context: z.RefinementCtx,
) => {
  if (options.type === "png" && options.quality !== undefined)
    context.addIssue({ code: "custom", path: ["quality"], message: "screenshotOptions.quality cannot be set when type is 'png'." });
  if (options.fullPage === true && options.clip !== undefined)
    context.addIssue({
      code: "custom",
      message: "screenshotOptions.clip and screenshotOptions.fullPage can't be set at the same time.",
    });
};
const screenshotOptions = z
  .strictObject({ ...screenshotShape, encoding: z.enum(["binary", "base64"]).default("binary") })
  .superRefine(sound)
  .prefault({});

const length = z.union([z.number().min(0), z.string().regex(/^\d*\.?\d+(px|in|cm|mm)?$/, "a number of pixels, or with px, in, cm or mm")]);
const pdfOptions = z
  .strictObject({
    scale: z.number().min(0.1).max(2).default(1),
    displayHeaderFooter: z.boolean().default(false),
    headerTemplate: z.string().default(""),
    footerTemplate: z.string().default(""),
    printBackground: z.boolean().default(false),
    landscape: z.boolean().default(false),
    pageRanges: z.string().default(""),
    format: z.enum(["letter", "legal", "tabloid", "ledger", "a0", "a1", "a2", "a3", "a4", "a5", "a6"]).default("letter"),
    width: length.optional(),
    height: length.optional(),
    preferCSSPageSize: z.boolean().default(false),
    margin: z
      .strictObject({ top: length.optional(), right: length.optional(), bottom: length.optional(), left: length.optional() })
      .default({}),
    omitBackground: z.boolean().optional(),
    tagged: z.boolean().default(true),
    outline: z.boolean().default(false),
    timeout: actionWait.optional(),
  })
  .prefault({});

const own = {
  content: {},
  markdown: {},
  screenshot: { screenshotOptions, selector: z.string().optional(), scrollPage: z.boolean().optional() },
  pdf: { pdfOptions },
  snapshot: {
    screenshotOptions: z.strictObject(screenshotShape).superRefine(sound).prefault({}),
    formats: z
      .array(z.enum(["content", "screenshot", "markdown"]))
      .default(["content", "screenshot"])
      .refine((formats) => new Set(formats).size > 1, {
        error: "This format must be combined with at least one other format. Use respective endpoint for this format request.",
      }),
  },
  scrape: { elements: z.array(z.strictObject({ selector: z.string() })).min(1) },
  json: {
    prompt: z.string().min(1).max(10_000).optional(),
    // `schema` in the documentation's examples, `json_schema` in the clients' types.
    response_format: z
      .strictObject({
        type: z.string(),
        schema: z.record(z.string(), z.unknown()).nullish(),
        json_schema: z.record(z.string(), z.unknown()).nullish(),
      })
      .refine(({ type, schema, json_schema }) => type !== "json_schema" || Object.keys(json_schema ?? schema ?? {}).length > 0, {
        error: "response_format.json_schema is required and must be non-empty when response_format.type is 'json_schema'",
      })
      .optional(),
    custom_ai: z
      .array(z.strictObject({ model: z.string(), authorization: z.string().optional() }))
      .min(1)
      .max(3, "You can only specify up to 3 custom AI models.")
      .optional(),
  },
  links: { visibleLinksOnly: z.boolean().default(false), excludeExternalLinks: z.boolean().default(false) },
} as const;

const schemas = {
  content: z.strictObject({ ...common, ...own.content }).superRefine(consistent),
  markdown: z.strictObject({ ...common, ...own.markdown }).superRefine(consistent),
  screenshot: z.strictObject({ ...common, ...own.screenshot }).superRefine(consistent),
  pdf: z.strictObject({ ...common, ...own.pdf }).superRefine(consistent),
  snapshot: z.strictObject({ ...common, ...own.snapshot }).superRefine(consistent),
  scrape: z.strictObject({ ...common, ...own.scrape }).superRefine(consistent),
  json: z
    .strictObject({ ...common, ...own.json })
    .superRefine(consistent)
    .refine(({ prompt, response_format }) => prompt !== undefined || response_format !== undefined, {
      error: "Either 'prompt' or 'response_format' must be defined",
      path: ["prompt"],
    }),
  links: z.strictObject({ ...common, ...own.links }).superRefine(consistent),
};

export type ActionName = keyof typeof schemas;
export const actionNames = Object.keys(schemas) as ActionName[];
/** Options as they are used: defaults filled in. */
export type Options<A extends ActionName = ActionName> = z.infer<(typeof schemas)[A]>;
export type PageOptions = Options<"content">;
export type PdfOptions = Options<"pdf">["pdfOptions"];
export type ScreenshotOptions = Options<"snapshot">["screenshotOptions"];

/** The schema of an action's body; its parse error says what is wrong and where. */
export const schemaOf = <A extends ActionName>(name: A) => schemas[name] as unknown as { parse(value: unknown): Options<A> };

interface Related {
  readonly url?: string | undefined;
  readonly html?: string | undefined;
  readonly rejectRequestPattern?: unknown;
  readonly allowRequestPattern?: unknown;
  readonly rejectResourceTypes?: unknown;
  readonly allowResourceTypes?: unknown;
}

function consistent(options: Related, context: z.RefinementCtx): void {
  const issue = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message });
  const both = (one: keyof Related, other: keyof Related): void => {
    if (options[one] !== undefined && options[other] !== undefined)
      issue(one, `${one} and ${other} cannot be set at the same time, please remove one of them`);
  };
  both("rejectRequestPattern", "allowRequestPattern");
  both("rejectResourceTypes", "allowResourceTypes");
  both("url", "html");
  if (options.url === undefined && options.html === undefined) issue("url", "Either 'url' or 'html' is required.");
}

function isPattern(text: string): boolean {
  try {
    return patternOf(text) !== undefined;
  } catch {
    return false;
  }
}

/** A pattern as given: the source of a regular expression, or one between slashes. The documentation has both, also without the last slash. */
export function patternOf(text: string): RegExp {
  const literal = /^\/(.*)\/([a-z]*)$/s.exec(text);
  if (literal !== null) return new RegExp(literal[1] as string, (literal[2] as string).replace(/[gy]/g, ""));
  return new RegExp(text.replace(/^\/\^/, "^"));
}
