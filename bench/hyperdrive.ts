/**
 * Queries of a Worker through Hyperdrive beside the same driver on a connection of its own to the same PostgreSQL, which is
 * Debian's, on this machine: the ratio shows what the proxy costs where the network costs nothing. The direct connection is
 * in the clear, Hyperdrive's under TLS. Rounds of the two take turns.
 */
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { certificateMaker, originOf } from "../test/clients/hyperdrive-world.ts";
import { projectRoot, startPlatform } from "../test/harness/platform.ts";
import { startPostgres } from "../test/harness/postgres.ts";
import { workerProject } from "../test/harness/worker-project.ts";
import { type BenchResult, median, withEnds } from "./bench.ts";

const ROUNDS = 7;
const QUERIES = 500;
const CONNECTIONS = 60;

const WORKER = `import { Client } from "pg";
const open = async (at) => { const client = new Client(at); await client.connect(); return client; };
const query = (client, i) => client.query("SELECT * FROM goods WHERE id = $1", [1 + (i % 100)]);
export default { async fetch(request, env) {
  const { searchParams } = new URL(request.url);
  const by = searchParams.get("by");
  const at = by === "direct" ? env.DIRECT : { connectionString: env[by].connectionString };
  const count = Number(searchParams.get("count"));
  if (searchParams.has("connect")) {
    for (let i = 0; i < count; i++) { const client = await open(at); await query(client, i); await client.end(); }
  } else {
    const client = await open(at);
    for (let i = 0; i < count; i++) await query(client, i);
    await client.end();
  }
  return new Response("done");
} };`;

export function run(): Promise<BenchResult[]> {
  return withEnds(async (ends) => {
    const issue = await certificateMaker();
    const server = await startPostgres({ after: ends }, { tls: await issue("server", "subjectAltName=DNS:localhost") });
    const config = { "hyperdrive.private_origins": true, "runtime.outbound_allow": ["public", "private"] };
    const platform = await startPlatform({ after: ends }, { config });
    const create = async (name: string, caching: object): Promise<{ binding: string; id: string }> => {
      const path = `/accounts/${platform.ready.account_id}/hyperdrive/configs`;
      return { binding: name, id: (await platform.rest("POST", path, { name, origin: originOf(server), caching })).body.result.id };
    };
    const project = await workerProject(platform, {
      files: { "index.js": WORKER },
      config: {
        name: "bench",
        hyperdrive: [await create("CACHED", { max_age: 3600 }), await create("UNCACHED", { disabled: true })],
        vars: { DIRECT: { ...server } },
      },
    });
    await symlink(join(projectRoot, "node_modules"), join(project.dir, "node_modules"));
    await project.deploy();
    const { default: pg } = await import("pg");
    const client = new pg.Client({ ...server });
    await client.connect();
    await client.query("CREATE TABLE goods AS SELECT i AS id, repeat('x', 200) AS text FROM generate_series(1, 10000) AS s(i)");
    await client.query("CREATE INDEX ON goods (id)");
    await client.end();

    const timed = async (by: string, count: number, more = ""): Promise<number> => {
      const begun = performance.now();
      const response = await platform.fetch(`${project.url}/?by=${by}&count=${count}${more}`);
      if (response.status !== 200) throw new Error(await response.text());
      await response.text();
      return (performance.now() - begun) / count;
    };
    const ratios = { query: [] as number[], connect: [] as number[], cached: [] as number[] };
    const ms = { direct: [] as number[], through: [] as number[], cached: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      const direct = await timed("direct", QUERIES);
      const through = await timed("UNCACHED", QUERIES);
      const cached = await timed("CACHED", QUERIES);
      const connected = await timed("direct", CONNECTIONS, "&connect");
      const pooled = await timed("UNCACHED", CONNECTIONS, "&connect");
      if (round === 0) continue;
      ratios.query.push(direct / through);
      ratios.cached.push(through / cached);
      ratios.connect.push(connected / pooled);
      ms.direct.push(direct);
      ms.through.push(through);
      ms.cached.push(cached);
    }
    const note = `${median(ms.direct).toFixed(2)} ms directly, ${median(ms.through).toFixed(2)} ms through, ${median(ms.cached).toFixed(2)} ms cached`;
    return [
      { name: "hyperdrive.query ÷ direct", value: median(ratios.query), unit: "ratio", note },
      { name: "hyperdrive.connect_and_query ÷ direct", value: median(ratios.connect), unit: "ratio" },
      { name: "hyperdrive.cached ÷ uncached", value: median(ratios.cached), unit: "ratio" },
    ];
  });
}
