/**
 * Web Analytics: the script tag that Pages adds to pages of a project whose `build_config` has a token. Whose beacon it loads,
 * and who gathers what it tells, is the token's matter. https://developers.cloudflare.com/pages/how-to/web-analytics/
 */

/** Larger pages are answered as they are. */
export const BEACON_PAGE_MAX_BYTES = 2 * 1024 * 1024;
const MARK = "<!-- Cloudflare Pages Analytics -->";

/** The page with the tag at the end of its body; as it is when it has no body. */
export async function withBeacon(html: string, token: string): Promise<string> {
  const { Parser } = await import("htmlparser2");
  let end: number | undefined;
  const parser = new Parser({
    onclosetag(name) {
      if (name === "body") end ??= parser.startIndex;
    },
  });
  parser.end(html);
  if (end === undefined) return html;
  // A token of its own letters cannot end the attribute that it stands in.
  const data = JSON.stringify({ token: token.replace(/[^\w-]/g, "") });
  const tag = `${MARK}<script defer src='https://static.cloudflareinsights.com/beacon.min.js' data-cf-beacon='${data}'></script>${MARK}`;
  return html.slice(0, end) + tag + html.slice(end);
}
