import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { parseRobots } from "./robots.ts";
import { inOrder, parseSitemap } from "./sitemap.ts";

test("the crawler's own group counts before everybody's, under its old name too; the longest rule decides", () => {
  const all = parseRobots("User-agent: *\nDisallow: /\n\nUser-agent: Cloudflare-AI-Search\nAllow: /\n\nSitemap: /map.xml # ours\n");
  assert.deepEqual([all.allows("/a"), all.sitemaps], [true, ["/map.xml"]]);
  const old = parseRobots(
    "user-agent: other\nuser-agent: cloudflare-autorag\ndisallow: /private/\nallow: /private/open$\ndisallow: /*.pdf\n",
  );
  assert.deepEqual(["/", "/private/x", "/private/open", "/private/open/x", "/a/b.pdf"].map(old.allows), [true, false, true, false, false]);
  assert.equal(parseRobots("User-agent: *\nDisallow:\n").allows("/a"), true);
  assert.equal(parseRobots("User-agent: Googlebot\nDisallow: /\n").allows("/a"), true);
});

test("sitemaps list pages, relative ones too, in the order of their priorities; an index lists sitemaps", async () => {
  const xml = `<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
    <url><loc>/low?a=1&amp;b=2</loc><priority>0.1</priority><changefreq>weekly</changefreq></url>
    <url><loc>https://shop.example/plain</loc></url>
    <url><loc>https://shop.example/top#part</loc><priority>1.0</priority><lastmod>2026-01-15</lastmod></url></urlset>`;
  const { pages } = await parseSitemap(gzipSync(xml), "https://shop.example/");
  const ordered = inOrder(pages);
  assert.deepEqual(
    ordered.map(({ url, modified, everyMs }) => [url, modified, everyMs / 86_400_000]),
    [
      ["https://shop.example/top", Date.UTC(2026, 0, 15), 1],
      ["https://shop.example/plain", null, 1],
      ["https://shop.example/low?a=1&b=2", null, 7],
    ],
  );
  const index = await parseSitemap(
    Buffer.from("<sitemapindex><sitemap><loc>/a.xml.gz</loc></sitemap></sitemapindex>"),
    "http://shop.example/x/",
  );
  assert.deepEqual(index, { pages: [], sitemaps: ["http://shop.example/a.xml.gz"] });
  await assert.rejects(parseSitemap(Buffer.from("<html></html>"), "http://shop.example/"), /no sitemap/);
});
