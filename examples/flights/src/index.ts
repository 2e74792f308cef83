/**
 * The flights example: takes events, forwards them to a pipeline, keeps reference data in D1, the newest answer in KV and
 * a history of answers in R2, counts in a Durable Object, and shows all of it on a page.
 */
import { Hono } from "hono";

export { Counter } from "./counter.ts";

/** One flight, as the stream's schema has it. */
export type Flight = {
  id: number;
  /** Milliseconds since the epoch. */
  date: number;
  origin: string;
  destination: string;
  /** Minutes; negative is early. */
  delay: number;
  /** Miles. */
  distance: number;
};

interface Airport {
  iata: string;
  name: string;
  city: string | null;
  state: string | null;
}

interface Delay {
  origin: string;
  mean_delay: number;
  flights: number;
}

const ANSWER_KEY = "answer";
/** D1 takes 100 bound parameters a statement; four columns a row. */
const AIRPORTS_PER_STATEMENT = 25;

const app = new Hono<{ Bindings: Env }>();
const counter = (env: Env) => env.COUNTER.getByName("flights");

// What changes data needs the secret.
app.use("/api/admin/*", async (c, next) => {
  if (c.req.header("authorization") !== `Bearer ${c.env.ADMIN_SECRET}`)
    return c.json({ error: "The admin secret is missing or wrong" }, 401);
  await next();
});

app.post("/api/admin/events", async (c) => {
  const flights = await c.req.json<Flight[]>();
  await c.env.STREAM.send(flights);
  return c.json({ total: await counter(c.env).add("binding", flights.length) });
});

app.post("/api/admin/count", async (c) => {
  const { events } = await c.req.json<{ events: number }>();
  return c.json({ total: await counter(c.env).add("http", events) });
});

app.post("/api/admin/airports", async (c) => {
  const airports = await c.req.json<Airport[]>();
  const statements: D1PreparedStatement[] = [];
  for (let i = 0; i < airports.length; i += AIRPORTS_PER_STATEMENT) {
    const rows = airports.slice(i, i + AIRPORTS_PER_STATEMENT);
    const values = rows.map(() => "(?, ?, ?, ?)").join(", ");
    statements.push(
      c.env.DB.prepare(`INSERT OR REPLACE INTO airports (iata, name, city, state) VALUES ${values}`).bind(
        ...rows.flatMap((a) => [a.iata, a.name, a.city, a.state]),
      ),
    );
  }
  await c.env.DB.batch(statements);
  return c.json({ airports: airports.length });
});

app.put("/api/admin/answer", async (c) => {
  const delays = await c.req.json<Delay[]>();
  const names = await airportNames(
    c.env,
    delays.map((d) => d.origin),
  );
  const answer = { at: Date.now(), airports: delays.map((d) => ({ ...d, name: names.get(d.origin) ?? d.origin })) };
  const text = JSON.stringify(answer);
  await c.env.REPORTS.put(`reports/${new Date(answer.at).toISOString()}.json`, text, { httpMetadata: { contentType: "application/json" } });
  await c.env.CACHE.put(ANSWER_KEY, text);
  return c.json({ ok: true });
});

app.get("/api/answer", async (c) => {
  const answer = await c.env.CACHE.get(ANSWER_KEY, "stream");
  if (answer === null) return c.json({ error: "There is no answer yet" }, 404);
  return c.body(answer, 200, { "content-type": "application/json" });
});

app.get("/api/status", async (c) => {
  const [total, cron, reports] = await Promise.all([
    counter(c.env).total(),
    c.env.DB.prepare("SELECT cron, scheduled_at, events FROM cron_runs ORDER BY id DESC LIMIT 1").first(),
    c.env.REPORTS.list({ prefix: "reports/" }),
  ]);
  return c.json({ title: c.env.TITLE, settings: c.env.SETTINGS, total, cron, reports: reports.objects.length });
});

app.get("/live", async (c) => {
  if (c.req.header("upgrade") !== "websocket") return c.text("Expected Upgrade: websocket", 426);
  return counter(c.env).fetch(c.req.raw);
});

async function airportNames(env: Env, codes: readonly string[]): Promise<Map<string, string>> {
  const marks = codes.map(() => "?").join(", ");
  const { results } = await env.DB.prepare(`SELECT iata, name, city, state FROM airports WHERE iata IN (${marks})`)
    .bind(...codes)
    .all<Airport>();
  return new Map(results.map((a) => [a.iata, [a.name, a.state].filter(Boolean).join(", ")]));
}

export default {
  fetch: app.fetch,
  async scheduled(controller, env) {
    const events = await counter(env).total();
    await env.DB.prepare("INSERT INTO cron_runs (cron, scheduled_at, events) VALUES (?, ?, ?)")
      .bind(controller.cron, controller.scheduledTime, events)
      .run();
    console.log(`cron ${controller.cron}: ${events} events so far`);
  },
} satisfies ExportedHandler<Env>;
