/**
 * The 22 questions of TPC-H, worded for this dialect, at scale 1 (FREEHOLD_BENCH_SCALE for another): R2 SQL over HTTP
 * beside DuckDB on the same files. DuckDB's generator is an extension that is not linked in, so that the eight tables are
 * made here, in SQL: row counts, keys, dates, segments, brands, containers and flags as the specification has them, so
 * that each condition of the questions finds about the share of rows that it should; texts are short and of our own.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import duckdb, { type DuckDBConnection } from "@duckdb/node-api";
import { startPlatform } from "../test/harness/platform.ts";
import { type BenchResult, inBenchDirectory } from "./bench.ts";
import { type Columns, compareAll, fieldIds, makeTable, prepareLake, type Table } from "./lake.ts";

const SCALE = Number(process.env.FREEHOLD_BENCH_SCALE ?? 1);
const rows = (atScaleOne: number): number => Math.round(atScaleOne * SCALE);
const [SUPPLIERS, CUSTOMERS, PARTS, ORDERS] = [rows(10_000), rows(150_000), rows(200_000), rows(1_500_000)];
const MONEY = "decimal(15, 2)";

// r(i, n): the n-th random number of row i, in [0, 1); between(i, n, a, b): an integer; pick(i, n, list): one of a list.
const MACROS = [
  "CREATE MACRO r(i, n) AS (hash(i * 32 + n) & 1048575) / 1048576.0",
  "CREATE MACRO between_(i, n, a, b) AS a + floor(r(i, n) * (b - a + 1))::INTEGER",
  "CREATE MACRO pick(i, n, list) AS list[1 + floor(r(i, n) * len(list))::INTEGER]",
  "CREATE MACRO money(i, n, a, b) AS (a + r(i, n) * (b - a))::DECIMAL(15, 2)",
  "CREATE MACRO phone(nation, i) AS (10 + nation) || '-' || between_(i, 28, 100, 999) || '-' || between_(i, 29, 1000, 9999)",
];

const list = (text: string): string => `['${text.split(",").join("', '")}']`;
const COLORS = list(
  "almond,antique,aquamarine,azure,beige,bisque,black,blanched,blue,blush,brown,burlywood,chartreuse,chocolate,coral,cream,cyan,dark,deep,dim,dodger,drab,firebrick,floral,forest,frosted,gainsboro,ghost,goldenrod,green,grey,honeydew",
);
const NATIONS =
  "ALGERIA 0,ARGENTINA 1,BRAZIL 1,CANADA 1,EGYPT 4,ETHIOPIA 0,FRANCE 3,GERMANY 3,INDIA 2,INDONESIA 2,IRAN 4,IRAQ 4,JAPAN 2,JORDAN 4,KENYA 0,MOROCCO 0,MOZAMBIQUE 0,PERU 1,CHINA 2,ROMANIA 3,SAUDI ARABIA 4,VIETNAM 2,RUSSIA 3,UNITED KINGDOM 3,UNITED STATES 1";
/** The suppliers of a part, four of them. */
const supplierOf = (part: string, nth: string): string =>
  `1 + (${part} + ${nth} * (${SUPPLIERS} // 4 + (${part} - 1) // ${SUPPLIERS})) % ${SUPPLIERS}`;
/** Two thirds of the customers have orders, and keys of orders have gaps. */
const orderRows = `(SELECT i, (i // 8) * 32 + i % 8 AS o_orderkey, 1 + 3 * (floor(r(i, 0) * ${CUSTOMERS} / 3))::INTEGER + (r(i, 1) < 0.5)::INTEGER AS o_custkey, DATE '1992-01-01' + between_(i, 2, 0, 2405) AS o_orderdate FROM range({from}, {to}) t(i))`;

interface Source {
  readonly columns: Columns;
  /** Rows of one file: {from} and {to} are its part of `count`. */
  readonly sql: string;
  readonly count: number;
  readonly files: number;
}

const SOURCES: Readonly<Record<string, Source>> = {
  region: {
    columns: { r_regionkey: "int", r_name: "string" },
    sql: `SELECT i::INTEGER AS r_regionkey, ${list("AFRICA,AMERICA,ASIA,EUROPE,MIDDLE EAST")}[i + 1] AS r_name FROM range({from}, {to}) t(i)`,
    count: 5,
    files: 1,
  },
  nation: {
    columns: { n_nationkey: "int", n_name: "string", n_regionkey: "int" },
    sql: `SELECT i::INTEGER AS n_nationkey, left(n, -2) AS n_name, right(n, 1)::INTEGER AS n_regionkey FROM (SELECT i, ${list(NATIONS)}[i + 1] AS n FROM range({from}, {to}) t(i))`,
    count: 25,
    files: 1,
  },
  supplier: {
    columns: {
      s_suppkey: "int",
      s_name: "string",
      s_address: "string",
      s_nationkey: "int",
      s_phone: "string",
      s_acctbal: MONEY,
      s_comment: "string",
    },
    sql: `SELECT (i + 1)::INTEGER AS s_suppkey, 'Supplier#' || lpad((i + 1)::VARCHAR, 9, '0') AS s_name, 'street ' || between_(i, 1, 1, 9999) AS s_address, between_(i, 2, 0, 24) AS s_nationkey, phone(between_(i, 2, 0, 24), i) AS s_phone, money(i, 3, -999, 9999) AS s_acctbal, CASE WHEN r(i, 4) < 0.0005 THEN 'many Customer and other Complaints' ELSE 'delivers on time' END AS s_comment FROM range({from}, {to}) t(i)`,
    count: SUPPLIERS,
    files: 1,
  },
  customer: {
    columns: {
      c_custkey: "int",
      c_name: "string",
      c_address: "string",
      c_nationkey: "int",
      c_phone: "string",
      c_acctbal: MONEY,
      c_mktsegment: "string",
      c_comment: "string",
    },
    sql: `SELECT (i + 1)::INTEGER AS c_custkey, 'Customer#' || lpad((i + 1)::VARCHAR, 9, '0') AS c_name, 'street ' || between_(i, 5, 1, 9999) AS c_address, between_(i, 6, 0, 24) AS c_nationkey, phone(between_(i, 6, 0, 24), i) AS c_phone, money(i, 7, -999, 9999) AS c_acctbal, pick(i, 8, ${list("AUTOMOBILE,BUILDING,FURNITURE,HOUSEHOLD,MACHINERY")}) AS c_mktsegment, 'pays by card ' || between_(i, 9, 1, 9999) AS c_comment FROM range({from}, {to}) t(i)`,
    count: CUSTOMERS,
    files: 2,
  },
  part: {
    columns: {
      p_partkey: "int",
      p_name: "string",
      p_mfgr: "string",
      p_brand: "string",
      p_type: "string",
      p_size: "int",
      p_container: "string",
      p_retailprice: MONEY,
    },
    sql: `SELECT (i + 1)::INTEGER AS p_partkey, pick(i, 1, ${COLORS}) || ' ' || pick(i, 2, ${COLORS}) || ' ' || pick(i, 3, ${COLORS}) AS p_name, 'Manufacturer#' || between_(i, 4, 1, 5) AS p_mfgr, 'Brand#' || between_(i, 4, 1, 5) || between_(i, 5, 1, 5) AS p_brand, pick(i, 6, ${list("STANDARD,SMALL,MEDIUM,LARGE,ECONOMY,PROMO")}) || ' ' || pick(i, 7, ${list("ANODIZED,BURNISHED,PLATED,POLISHED,BRUSHED")}) || ' ' || pick(i, 8, ${list("TIN,NICKEL,BRASS,STEEL,COPPER")}) AS p_type, between_(i, 9, 1, 50) AS p_size, pick(i, 10, ${list("SM,LG,MED,JUMBO,WRAP")}) || ' ' || pick(i, 11, ${list("CASE,BOX,BAG,JAR,PKG,PACK,CAN,DRUM")}) AS p_container, (900 + (i % 1000) + (i // 10 % 20001) / 100.0)::DECIMAL(15, 2) AS p_retailprice FROM range({from}, {to}) t(i)`,
    count: PARTS,
    files: 2,
  },
  partsupp: {
    columns: { ps_partkey: "int", ps_suppkey: "int", ps_availqty: "int", ps_supplycost: MONEY },
    sql: `SELECT (1 + i // 4)::INTEGER AS ps_partkey, (${supplierOf("(1 + i // 4)", "(i % 4)")})::INTEGER AS ps_suppkey, between_(i, 1, 1, 9999) AS ps_availqty, money(i, 2, 1, 1000) AS ps_supplycost FROM range({from}, {to}) t(i)`,
    count: PARTS * 4,
    files: 4,
  },
  orders: {
    columns: {
      o_orderkey: "int",
      o_custkey: "int",
      o_orderstatus: "string",
      o_totalprice: MONEY,
      o_orderdate: "date",
      o_orderpriority: "string",
      o_shippriority: "int",
      o_comment: "string",
    },
    sql: `SELECT o_orderkey::INTEGER AS o_orderkey, o_custkey, CASE WHEN o_orderdate < DATE '1995-03-01' THEN 'F' WHEN o_orderdate > DATE '1995-06-17' THEN 'O' ELSE 'P' END AS o_orderstatus, money(i, 3, 1000, 400000) AS o_totalprice, o_orderdate, pick(i, 4, ${list("1-URGENT,2-HIGH,3-MEDIUM,4-NOT SPECIFIED,5-LOW")}) AS o_orderpriority, 0 AS o_shippriority, CASE WHEN r(i, 5) < 0.01 THEN 'has special handling requests' ELSE 'goes by rail' END AS o_comment FROM ${orderRows}`,
    count: ORDERS,
    files: 8,
  },
  lineitem: {
    columns: {
      l_orderkey: "int",
      l_partkey: "int",
      l_suppkey: "int",
      l_linenumber: "int",
      l_quantity: MONEY,
      l_extendedprice: MONEY,
      l_discount: MONEY,
      l_tax: MONEY,
      l_returnflag: "string",
      l_linestatus: "string",
      l_shipdate: "date",
      l_commitdate: "date",
      l_receiptdate: "date",
      l_shipinstruct: "string",
      l_shipmode: "string",
    },
    sql: `WITH lines AS (SELECT o.*, i * 8 + line AS n, line + 1 AS l_linenumber, between_(i * 8 + line, 0, 1, ${PARTS}) AS l_partkey, between_(i * 8 + line, 1, 1, 50) AS quantity, o_orderdate + between_(i * 8 + line, 2, 1, 121) AS l_shipdate FROM ${orderRows} o, LATERAL (SELECT unnest(range(between_(i, 6, 1, 7))) AS line))
      SELECT o_orderkey::INTEGER AS l_orderkey, l_partkey, (${supplierOf("l_partkey", "between_(n, 3, 0, 3)")})::INTEGER AS l_suppkey, l_linenumber::INTEGER AS l_linenumber, quantity::DECIMAL(15, 2) AS l_quantity, (quantity * (900 + (l_partkey - 1) % 1000))::DECIMAL(15, 2) AS l_extendedprice, (between_(n, 4, 0, 10) / 100)::DECIMAL(15, 2) AS l_discount, (between_(n, 5, 0, 8) / 100)::DECIMAL(15, 2) AS l_tax,
        CASE WHEN l_shipdate + 15 > DATE '1995-06-17' THEN 'N' ELSE pick(n, 6, ['R', 'A']) END AS l_returnflag, CASE WHEN l_shipdate > DATE '1995-06-17' THEN 'O' ELSE 'F' END AS l_linestatus, l_shipdate, o_orderdate + between_(n, 7, 30, 90) AS l_commitdate, l_shipdate + between_(n, 8, 1, 30) AS l_receiptdate,
        pick(n, 9, ${list("DELIVER IN PERSON,COLLECT COD,NONE,TAKE BACK RETURN")}) AS l_shipinstruct, pick(n, 10, ${list("REG AIR,AIR,RAIL,SHIP,TRUCK,MAIL,FOB")}) AS l_shipmode FROM lines`,
    count: ORDERS,
    files: 16,
  },
};

const REVENUE = "SUM(l_extendedprice * (1 - l_discount))";
const year = (column: string): string => `EXTRACT(YEAR FROM ${column})`;

const QUERIES: readonly string[] = [
  `SELECT l_returnflag, l_linestatus, SUM(l_quantity), SUM(l_extendedprice), ${REVENUE}, SUM(l_extendedprice * (1 - l_discount) * (1 + l_tax)), AVG(l_quantity), AVG(l_extendedprice), AVG(l_discount), COUNT(*) FROM lineitem WHERE l_shipdate <= DATE '1998-09-02' GROUP BY l_returnflag, l_linestatus ORDER BY 1, 2`,
  "SELECT s_acctbal, s_name, n_name, p_partkey, p_mfgr FROM part JOIN partsupp ON p_partkey = ps_partkey JOIN supplier ON s_suppkey = ps_suppkey JOIN nation ON s_nationkey = n_nationkey JOIN region ON n_regionkey = r_regionkey WHERE p_size = 15 AND p_type LIKE '%BRASS' AND r_name = 'EUROPE' AND ps_supplycost = (SELECT MIN(ps_supplycost) FROM partsupp JOIN supplier ON s_suppkey = ps_suppkey JOIN nation ON s_nationkey = n_nationkey JOIN region ON n_regionkey = r_regionkey WHERE p_partkey = ps_partkey AND r_name = 'EUROPE') ORDER BY s_acctbal DESC, n_name, s_name, p_partkey LIMIT 100",
  `SELECT l_orderkey, ${REVENUE} AS revenue, o_orderdate, o_shippriority FROM customer JOIN orders ON c_custkey = o_custkey JOIN lineitem ON l_orderkey = o_orderkey WHERE c_mktsegment = 'BUILDING' AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15' GROUP BY l_orderkey, o_orderdate, o_shippriority ORDER BY revenue DESC, o_orderdate LIMIT 10`,
  "SELECT o_orderpriority, COUNT(*) FROM orders WHERE o_orderdate >= DATE '1993-07-01' AND o_orderdate < DATE '1993-10-01' AND EXISTS (SELECT 1 FROM lineitem WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate) GROUP BY o_orderpriority ORDER BY 1",
  `SELECT n_name, ${REVENUE} AS revenue FROM customer JOIN orders ON c_custkey = o_custkey JOIN lineitem ON l_orderkey = o_orderkey JOIN supplier ON l_suppkey = s_suppkey AND c_nationkey = s_nationkey JOIN nation ON s_nationkey = n_nationkey JOIN region ON n_regionkey = r_regionkey WHERE r_name = 'ASIA' AND o_orderdate >= DATE '1994-01-01' AND o_orderdate < DATE '1995-01-01' GROUP BY n_name ORDER BY revenue DESC`,
  "SELECT SUM(l_extendedprice * l_discount) FROM lineitem WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01' AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24",
  `SELECT n1.n_name AS supplier_nation, n2.n_name AS customer_nation, ${year("l_shipdate")} AS y, ${REVENUE} FROM supplier JOIN lineitem ON s_suppkey = l_suppkey JOIN orders ON o_orderkey = l_orderkey JOIN customer ON c_custkey = o_custkey JOIN (SELECT * FROM nation) n1 ON s_nationkey = n1.n_nationkey JOIN (SELECT * FROM nation) n2 ON c_nationkey = n2.n_nationkey WHERE ((n1.n_name = 'FRANCE' AND n2.n_name = 'GERMANY') OR (n1.n_name = 'GERMANY' AND n2.n_name = 'FRANCE')) AND l_shipdate BETWEEN DATE '1995-01-01' AND DATE '1996-12-31' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
  `SELECT ${year("o_orderdate")} AS y, SUM(CASE WHEN n2.n_name = 'BRAZIL' THEN l_extendedprice * (1 - l_discount) ELSE 0 END) / ${REVENUE} FROM part JOIN lineitem ON p_partkey = l_partkey JOIN supplier ON s_suppkey = l_suppkey JOIN orders ON l_orderkey = o_orderkey JOIN customer ON o_custkey = c_custkey JOIN (SELECT * FROM nation) n1 ON c_nationkey = n1.n_nationkey JOIN region ON n1.n_regionkey = r_regionkey JOIN (SELECT * FROM nation) n2 ON s_nationkey = n2.n_nationkey WHERE r_name = 'AMERICA' AND o_orderdate BETWEEN DATE '1995-01-01' AND DATE '1996-12-31' AND p_type = 'ECONOMY ANODIZED STEEL' GROUP BY 1 ORDER BY 1`,
  `SELECT n_name, ${year("o_orderdate")} AS y, SUM(l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity) FROM part JOIN lineitem ON p_partkey = l_partkey JOIN supplier ON s_suppkey = l_suppkey JOIN partsupp ON ps_suppkey = l_suppkey AND ps_partkey = l_partkey JOIN orders ON o_orderkey = l_orderkey JOIN nation ON s_nationkey = n_nationkey WHERE p_name LIKE '%green%' GROUP BY 1, 2 ORDER BY 1, 2 DESC`,
  `SELECT c_custkey, c_name, ${REVENUE} AS revenue, c_acctbal, n_name, c_address, c_phone FROM customer JOIN orders ON c_custkey = o_custkey JOIN lineitem ON l_orderkey = o_orderkey JOIN nation ON c_nationkey = n_nationkey WHERE o_orderdate >= DATE '1993-10-01' AND o_orderdate < DATE '1994-01-01' AND l_returnflag = 'R' GROUP BY c_custkey, c_name, c_acctbal, c_phone, n_name, c_address ORDER BY revenue DESC LIMIT 20`,
  "SELECT ps_partkey, SUM(ps_supplycost * ps_availqty) AS v FROM partsupp JOIN supplier ON ps_suppkey = s_suppkey JOIN nation ON s_nationkey = n_nationkey WHERE n_name = 'GERMANY' GROUP BY ps_partkey HAVING SUM(ps_supplycost * ps_availqty) > (SELECT SUM(ps_supplycost * ps_availqty) * 0.0001 FROM partsupp JOIN supplier ON ps_suppkey = s_suppkey JOIN nation ON s_nationkey = n_nationkey WHERE n_name = 'GERMANY') ORDER BY v DESC",
  "SELECT l_shipmode, SUM(CASE WHEN o_orderpriority IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END), SUM(CASE WHEN o_orderpriority NOT IN ('1-URGENT', '2-HIGH') THEN 1 ELSE 0 END) FROM orders JOIN lineitem ON o_orderkey = l_orderkey WHERE l_shipmode IN ('MAIL', 'SHIP') AND l_commitdate < l_receiptdate AND l_shipdate < l_commitdate AND l_receiptdate >= DATE '1994-01-01' AND l_receiptdate < DATE '1995-01-01' GROUP BY l_shipmode ORDER BY 1",
  "SELECT n, COUNT(*) AS customers FROM (SELECT c_custkey, COUNT(o_orderkey) AS n FROM customer LEFT JOIN orders ON c_custkey = o_custkey AND o_comment NOT LIKE '%special%requests%' GROUP BY c_custkey) c GROUP BY n ORDER BY customers DESC, n DESC",
  `SELECT 100.0 * SUM(CASE WHEN p_type LIKE 'PROMO%' THEN l_extendedprice * (1 - l_discount) ELSE 0 END) / ${REVENUE} AS promo FROM lineitem JOIN part ON l_partkey = p_partkey WHERE l_shipdate >= DATE '1995-09-01' AND l_shipdate < DATE '1995-10-01'`,
  `WITH revenue AS (SELECT l_suppkey AS supplier_no, ${REVENUE} AS total FROM lineitem WHERE l_shipdate >= DATE '1996-01-01' AND l_shipdate < DATE '1996-04-01' GROUP BY l_suppkey) SELECT s_suppkey, s_name, s_address, s_phone, total FROM supplier JOIN revenue ON s_suppkey = supplier_no WHERE total = (SELECT MAX(total) FROM revenue) ORDER BY 1`,
  "SELECT p_brand, p_type, p_size, COUNT(DISTINCT ps_suppkey) AS suppliers FROM partsupp JOIN part ON p_partkey = ps_partkey WHERE p_brand <> 'Brand#45' AND p_type NOT LIKE 'MEDIUM POLISHED%' AND p_size IN (49, 14, 23, 45, 19, 3, 36, 9) AND ps_suppkey NOT IN (SELECT s_suppkey FROM supplier WHERE s_comment LIKE '%Customer%Complaints%') GROUP BY 1, 2, 3 ORDER BY suppliers DESC, 1, 2, 3",
  "SELECT SUM(l_extendedprice) / 7.0 AS yearly FROM lineitem JOIN part ON p_partkey = l_partkey WHERE p_brand = 'Brand#23' AND p_container = 'MED BOX' AND l_quantity < (SELECT 0.2 * AVG(l_quantity) FROM lineitem WHERE l_partkey = p_partkey)",
  "SELECT c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, SUM(l_quantity) FROM customer JOIN orders ON c_custkey = o_custkey JOIN lineitem ON o_orderkey = l_orderkey WHERE o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING SUM(l_quantity) > 300) GROUP BY 1, 2, 3, 4, 5 ORDER BY o_totalprice DESC, o_orderdate LIMIT 100",
  `SELECT ${REVENUE} FROM lineitem JOIN part ON p_partkey = l_partkey WHERE l_shipmode IN ('AIR', 'REG AIR') AND l_shipinstruct = 'DELIVER IN PERSON' AND ((p_brand = 'Brand#12' AND p_container LIKE 'SM%' AND l_quantity BETWEEN 1 AND 11 AND p_size BETWEEN 1 AND 5) OR (p_brand = 'Brand#23' AND p_container LIKE 'MED%' AND l_quantity BETWEEN 10 AND 20 AND p_size BETWEEN 1 AND 10) OR (p_brand = 'Brand#34' AND p_container LIKE 'LG%' AND l_quantity BETWEEN 20 AND 30 AND p_size BETWEEN 1 AND 15))`,
  "SELECT s_name, s_address FROM supplier JOIN nation ON s_nationkey = n_nationkey WHERE n_name = 'CANADA' AND s_suppkey IN (SELECT ps_suppkey FROM partsupp WHERE ps_partkey IN (SELECT p_partkey FROM part WHERE p_name LIKE 'forest%') AND ps_availqty > (SELECT 0.5 * SUM(l_quantity) FROM lineitem WHERE l_partkey = ps_partkey AND l_suppkey = ps_suppkey AND l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01')) ORDER BY s_name",
  "SELECT s_name, COUNT(*) AS waits FROM supplier JOIN (SELECT * FROM lineitem) l1 ON s_suppkey = l1.l_suppkey JOIN orders ON o_orderkey = l1.l_orderkey JOIN nation ON s_nationkey = n_nationkey WHERE o_orderstatus = 'F' AND n_name = 'SAUDI ARABIA' AND l1.l_receiptdate > l1.l_commitdate AND EXISTS (SELECT 1 FROM (SELECT * FROM lineitem) l2 WHERE l2.l_orderkey = l1.l_orderkey AND l2.l_suppkey <> l1.l_suppkey) AND NOT EXISTS (SELECT 1 FROM (SELECT * FROM lineitem) l3 WHERE l3.l_orderkey = l1.l_orderkey AND l3.l_suppkey <> l1.l_suppkey AND l3.l_receiptdate > l3.l_commitdate) GROUP BY s_name ORDER BY waits DESC, s_name LIMIT 100",
  "SELECT code, COUNT(*), SUM(c_acctbal) FROM (SELECT substr(c_phone, 1, 2) AS code, c_acctbal, c_custkey FROM customer WHERE substr(c_phone, 1, 2) IN ('13', '31', '23', '29', '30', '18', '17') AND c_acctbal > (SELECT AVG(c_acctbal) FROM customer WHERE c_acctbal > 0.00 AND substr(c_phone, 1, 2) IN ('13', '31', '23', '29', '30', '18', '17'))) c WHERE NOT EXISTS (SELECT 1 FROM orders WHERE o_custkey = c_custkey) GROUP BY code ORDER BY code",
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
      const tables: Record<string, Table> = {};
      for (const [name, source] of Object.entries(SOURCES))
        tables[name] = await makeTable(platform, local, name, source.columns, await generate(local, directory, name, source));
      return await compareAll(platform, local, "r2_sql.tpch", tables, QUERIES);
    } finally {
      for (const end of ends) await end();
    }
  });
}

async function generate(local: DuckDBConnection, directory: string, name: string, source: Source): Promise<string[]> {
  const paths: string[] = [];
  for (let i = 0; i < source.files; i++) {
    const path = join(directory, `${name}-${i}.parquet`);
    const edge = (n: number): string => String(Math.round((source.count * n) / source.files));
    const sql = source.sql.replaceAll("{from}", edge(i)).replaceAll("{to}", edge(i + 1));
    await local.run(`COPY (${sql}) TO '${path}' (FORMAT parquet, COMPRESSION zstd, FIELD_IDS ${fieldIds(source.columns)})`);
    paths.push(path);
  }
  return paths;
}
