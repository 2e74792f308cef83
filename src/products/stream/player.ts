/**
 * The player: the page that sites put into an iframe, its scripts, and the script with which a site's page drives it. The
 * page takes its options from its own query, so that it is the same for everybody; which pages may hold it is its headers'
 * to say (docs: Use the Stream Player).
 */
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
import { answerBytes, answerText, corsHeaders } from "./answers.ts";

export interface Player {
  /** `live`: there is no picture of it to begin with. `lowLatency`: it is to be played by LL-HLS. */
  page(
    request: IncomingMessage,
    response: ServerResponse,
    options: { readonly allowedOrigins: readonly string[]; readonly live: boolean; readonly lowLatency: boolean },
  ): void;
  /** Answers if the path is one of the player's files. */
  asset(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
}

const FILES: Readonly<Record<string, URL>> = {
  "/player/hls.js": new URL(import.meta.resolve("hls.js/dist/hls.min.js")),
  "/player/page.js": new URL("./player/page.js", import.meta.url),
  "/player/page.css": new URL("./player/page.css", import.meta.url),
  // Documented name of the script, and the newer one.
  "/embed/sdk.latest.js": new URL("./player/sdk.js", import.meta.url),
  "/embed/r4xu.fla9.latest.js": new URL("./player/sdk.js", import.meta.url),
};

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Video</title>
<link rel="stylesheet" href="/player/page.css">
</head>
<body>
<video id="video" playsinline></video>
<a id="logo" target="_blank" rel="noopener" hidden></a>
<button id="share" type="button" hidden>Copy link</button>
<p id="note" role="status" hidden></p>
<pre id="debug" hidden></pre>
<script src="/player/hls.js"></script>
<script src="/player/page.js"></script>
</body>
</html>
`;

export function openPlayer(): Player {
  const read = new Map<string, Promise<Buffer>>();

  return {
    page(request, response, { allowedOrigins, live, lowLatency }) {
      const ancestors = allowedOrigins.length === 0 ? "*" : allowedOrigins.filter((origin) => /^[\w.:*-]+$/.test(origin)).join(" ");
      const policy = [
        ...["default-src 'none'", "script-src 'self' blob:", "worker-src blob:", "style-src 'self' 'unsafe-inline'", "connect-src 'self'"],
        ...["media-src 'self' blob:", "img-src * data:", "base-uri 'none'", "form-action 'none'", `frame-ancestors ${ancestors}`],
      ];
      const headers = {
        ...corsHeaders(request),
        "content-security-policy": policy.join("; "),
        "cache-control": "no-store",
        "referrer-policy": "origin",
      };
      answerText(
        request,
        response,
        "text/html; charset=utf-8",
        PAGE.replace("<body>", `<body${live ? " data-live" : ""}${lowLatency ? " data-low-latency" : ""}>`),
        headers,
      );
    },
    async asset(request, response) {
      const path = (request.url as string).split("?")[0] as string;
      const file = Object.hasOwn(FILES, path) ? FILES[path] : undefined;
      if (file === undefined) return false;
      if (!read.has(path)) read.set(path, readFile(fileURLToPath(file)));
      const bytes = await (read.get(path) as Promise<Buffer>);
      const type = path.endsWith(".css") ? "text/css; charset=utf-8" : "text/javascript; charset=utf-8";
      answerBytes(request, response, type, bytes, { ...corsHeaders(request), "cache-control": "public, max-age=300" });
      return true;
    },
  };
}
