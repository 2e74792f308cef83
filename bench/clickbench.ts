/**
 * The 43 questions of ClickBench, worded for this dialect, on a made table of page views like its `hits`: the columns that
 * they use, skewed values, two million rows in 20 files. R2 SQL over HTTP beside DuckDB on the same files. Five of the
 * questions skip rows by OFFSET, which the dialect refuses; they are asked without it.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import duckdb from "@duckdb/node-api";
import { startPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";
import { type Columns, compareAll, fieldIds, makeTable, prepareLake } from "./lake.ts";

const ROWS = Number(process.env.FREEHOLD_BENCH_ROWS ?? 2_000_000);
const FILES = 20;

const COLUMNS: Columns = {
  WatchID: "long",
  Title: "string",
  EventTime: "timestamp",
  EventDate: "date",
  CounterID: "int",
  ClientIP: "int",
  RegionID: "int",
  UserID: "long",
  URL: "string",
  Referer: "string",
  IsRefresh: "int",
  ResolutionWidth: "int",
  WindowClientWidth: "int",
  WindowClientHeight: "int",
  MobilePhone: "int",
  MobilePhoneModel: "string",
  TraficSourceID: "int",
  SearchEngineID: "int",
  SearchPhrase: "string",
  AdvEngineID: "int",
  IsLink: "int",
  IsDownload: "int",
  DontCountHits: "int",
  RefererHash: "long",
  URLHash: "long",
};

// r(i, n): the n-th random number of row i, in [0, 1). `rank(i, n, most)`: many small numbers, few large ones up to `most`.
const MACROS = [
  "CREATE MACRO r(i, n) AS (hash(i * 32 + n) & 1048575) / 1048576.0",
  "CREATE MACRO rank(i, n, most) AS floor(pow(most, r(i, n)))::INTEGER",
];
const hits = (from: number, to: number): string => `
  WITH ranks AS (
    SELECT i, rank(i, 0, 6000) AS counter, rank(i, 1, 200000) AS page, rank(i, 2, 150000) AS referer,
      CASE WHEN r(i, 3) < 0.13 THEN rank(i, 4, 100000) ELSE 0 END AS phrase, TIMESTAMP '2013-07-01' + to_seconds((r(i, 5) * 2678400)::INTEGER) AS seen
    FROM range(${from}, ${to}) t(i))
  SELECT (hash(i) >> 1)::BIGINT AS WatchID, CASE WHEN r(i, 6) < 0.1 THEN '' ELSE 'Page ' || page || CASE WHEN r(page, 7) < 0.02 THEN ' - Google' ELSE ' of a shop' END END AS Title,
    seen AS EventTime, seen::DATE AS EventDate, counter AS CounterID, (rank(i, 8, 400000) * 5171)::INTEGER AS ClientIP, rank(i, 9, 5000) AS RegionID,
    (hash(rank(i, 10, 350000)) >> 1)::BIGINT AS UserID,
    'http://' || CASE WHEN r(page, 11) < 0.01 THEN 'www.google.com' ELSE 'site' || counter || '.example' END || '/path/' || page AS URL,
    CASE WHEN r(i, 12) < 0.2 THEN '' ELSE 'https://www.ref' || (referer % 900) || '.example/from/' || referer END AS Referer,
    (r(i, 13) < 0.1)::INTEGER AS IsRefresh, [1024, 1280, 1366, 1440, 1600, 1920][1 + (r(i, 14) * 6)::INTEGER % 6] AS ResolutionWidth,
    (r(i, 15) * 1900)::INTEGER AS WindowClientWidth, (r(i, 16) * 1000)::INTEGER AS WindowClientHeight,
    CASE WHEN r(i, 17) < 0.06 THEN rank(i, 18, 80) ELSE 0 END AS MobilePhone, CASE WHEN r(i, 17) < 0.06 THEN 'model ' || rank(i, 19, 160) ELSE '' END AS MobilePhoneModel,
    (r(i, 20) * 10)::INTEGER - 1 AS TraficSourceID, CASE WHEN phrase > 0 THEN rank(i, 21, 60) ELSE 0 END AS SearchEngineID,
    CASE WHEN phrase > 0 THEN 'how to find ' || phrase ELSE '' END AS SearchPhrase, CASE WHEN r(i, 22) < 0.006 THEN rank(i, 23, 60) ELSE 0 END AS AdvEngineID,
    (r(i, 24) < 0.03)::INTEGER AS IsLink, (r(i, 25) < 0.005)::INTEGER AS IsDownload, (r(i, 26) < 0.02)::INTEGER AS DontCountHits,
    (hash(referer) >> 1)::BIGINT AS RefererHash, (hash(page) >> 1)::BIGINT AS URLHash
  FROM ranks ORDER BY EventTime`;

const top = (keys: string, values: string, where = "", order = "c DESC"): string =>
  `SELECT ${keys}, ${values} FROM hits ${where === "" ? "" : `WHERE ${where} `}GROUP BY ${keys.replace(/ AS \w+/g, "")} ORDER BY ${order} LIMIT 10`;
const SEARCHED = "SearchPhrase <> ''";
const july = (and: string): string =>
  `CounterID = 62 AND EventDate >= '2013-07-01' AND EventDate <= '2013-07-31'${and === "" ? "" : ` AND ${and}`}`;
const VIEWS = "COUNT(*) AS c";

const QUERIES: readonly string[] = [
  "SELECT COUNT(*) FROM hits",
  "SELECT COUNT(*) FROM hits WHERE AdvEngineID <> 0",
  "SELECT SUM(AdvEngineID), COUNT(*), AVG(ResolutionWidth) FROM hits",
  "SELECT AVG(UserID) FROM hits",
  "SELECT COUNT(DISTINCT UserID) FROM hits",
  "SELECT COUNT(DISTINCT SearchPhrase) FROM hits",
  "SELECT MIN(EventDate), MAX(EventDate) FROM hits",
  top("AdvEngineID", VIEWS, "AdvEngineID <> 0"),
  top("RegionID", "COUNT(DISTINCT UserID) AS c"),
  top("RegionID", "SUM(AdvEngineID), COUNT(*) AS c, AVG(ResolutionWidth), COUNT(DISTINCT UserID)"),
  top("MobilePhoneModel", "COUNT(DISTINCT UserID) AS c", "MobilePhoneModel <> ''"),
  top("MobilePhone, MobilePhoneModel", "COUNT(DISTINCT UserID) AS c", "MobilePhoneModel <> ''"),
  top("SearchPhrase", VIEWS, SEARCHED),
  top("SearchPhrase", "COUNT(DISTINCT UserID) AS c", SEARCHED),
  top("SearchEngineID, SearchPhrase", VIEWS, SEARCHED),
  top("UserID", VIEWS),
  top("UserID, SearchPhrase", VIEWS),
  "SELECT UserID, SearchPhrase, COUNT(*) FROM hits GROUP BY UserID, SearchPhrase LIMIT 10",
  "SELECT UserID, extract(minute FROM EventTime) AS m, SearchPhrase, COUNT(*) AS c FROM hits GROUP BY UserID, m, SearchPhrase ORDER BY c DESC LIMIT 10",
  "SELECT UserID FROM hits WHERE UserID = 435090932899640449",
  "SELECT COUNT(*) FROM hits WHERE URL LIKE '%google%'",
  top("SearchPhrase", "MIN(URL), COUNT(*) AS c", `URL LIKE '%google%' AND ${SEARCHED}`),
  top(
    "SearchPhrase",
    "MIN(URL), MIN(Title), COUNT(*) AS c, COUNT(DISTINCT UserID)",
    `Title LIKE '%Google%' AND URL NOT LIKE '%.google.%' AND ${SEARCHED}`,
  ),
  "SELECT * FROM hits WHERE URL LIKE '%google%' ORDER BY EventTime LIMIT 10",
  ...["EventTime", "SearchPhrase", "EventTime, SearchPhrase"].map(
    (order) => `SELECT SearchPhrase FROM hits WHERE ${SEARCHED} ORDER BY ${order} LIMIT 10`,
  ),
  "SELECT CounterID, AVG(length(URL)) AS l, COUNT(*) AS c FROM hits WHERE URL <> '' GROUP BY CounterID HAVING COUNT(*) > 10000 ORDER BY l DESC LIMIT 25",
  "SELECT regexp_replace(Referer, '^https?://(?:www\\.)?([^/]+)/.*$', '\\1') AS k, AVG(length(Referer)) AS l, COUNT(*) AS c, MIN(Referer) FROM hits WHERE Referer <> '' GROUP BY k HAVING COUNT(*) > 10000 ORDER BY l DESC LIMIT 25",
  `SELECT ${Array.from({ length: 90 }, (_, i) => `SUM(ResolutionWidth + ${i})`).join(", ")} FROM hits`,
  top("SearchEngineID, ClientIP", "COUNT(*) AS c, SUM(IsRefresh), AVG(ResolutionWidth)", SEARCHED),
  top("WatchID, ClientIP", "COUNT(*) AS c, SUM(IsRefresh), AVG(ResolutionWidth)", SEARCHED),
  top("WatchID, ClientIP", "COUNT(*) AS c, SUM(IsRefresh), AVG(ResolutionWidth)"),
  top("URL", VIEWS),
  "SELECT 1, URL, COUNT(*) AS c FROM hits GROUP BY 1, URL ORDER BY c DESC LIMIT 10",
  top("ClientIP, ClientIP - 1, ClientIP - 2, ClientIP - 3", VIEWS),
  top("URL", VIEWS, july("DontCountHits = 0 AND IsRefresh = 0 AND URL <> ''")),
  top("Title", VIEWS, july("DontCountHits = 0 AND IsRefresh = 0 AND Title <> ''")),
  top("URL", VIEWS, july("IsRefresh = 0 AND IsLink <> 0 AND IsDownload = 0")),
  `SELECT TraficSourceID, SearchEngineID, AdvEngineID, CASE WHEN SearchEngineID = 0 AND AdvEngineID = 0 THEN Referer ELSE '' END AS src, URL AS dst, COUNT(*) AS c FROM hits WHERE ${july("IsRefresh = 0")} GROUP BY TraficSourceID, SearchEngineID, AdvEngineID, src, dst ORDER BY c DESC LIMIT 10`,
  top("URLHash, EventDate", VIEWS, july("IsRefresh = 0 AND TraficSourceID IN (-1, 6) AND RefererHash = 3594120000172545465")),
  top("WindowClientWidth, WindowClientHeight", VIEWS, july("IsRefresh = 0 AND DontCountHits = 0 AND URLHash = 2868770270353813622")),
  `SELECT DATE_TRUNC('minute', EventTime) AS m, COUNT(*) AS c FROM hits WHERE CounterID = 62 AND EventDate >= '2013-07-14' AND EventDate <= '2013-07-15' AND IsRefresh = 0 AND DontCountHits = 0 GROUP BY DATE_TRUNC('minute', EventTime) ORDER BY m LIMIT 10`,
];

export async function run(): Promise<BenchResult[]> {
  return inBenchDirectory(async (directory) => {
    const ends: (() => Promise<void>)[] = [];
    const platform = await startPlatform({ after: (fn) => void ends.unshift(fn) }, { dir: join(directory, "platform") });
    try {
      const instance = await duckdb.DuckDBInstance.create(":memory:", { threads: String(availableParallelism()) });
      const local = await instance.connect();
      for (const macro of MACROS) await local.run(macro);
      await prepareLake(platform);
      const files: string[] = [];
      for (let i = 0; i < FILES; i++) {
        const path = join(directory, `hits-${i}.parquet`);
        const sql = hits((ROWS / FILES) * i, (ROWS / FILES) * (i + 1));
        await local.run(`COPY (${sql}) TO '${path}' (FORMAT parquet, COMPRESSION zstd, FIELD_IDS ${fieldIds(COLUMNS)})`);
        files.push(path);
      }
      const table = await makeTable(platform, local, "hits", COLUMNS, files);
      return await compareAll(platform, local, "r2_sql.clickbench", { hits: table }, QUERIES);
    } finally {
      for (const end of ends) await end();
    }
  });
}
