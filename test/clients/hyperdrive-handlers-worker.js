// A Worker that uses Hyperdrive in every kind of handler; nobody ends a client.
import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";
import { Client } from "pg";

const open = async (hyperdrive) => {
  const client = new Client({ connectionString: hyperdrive.connectionString });
  await client.connect();
  return client;
};
const note = async (hyperdrive, text) => {
  const client = await open(hyperdrive);
  await client.query("INSERT INTO notes (text) VALUES ($1)", [text]);
};

export class Room extends DurableObject {
  async note(text) {
    // Kept from one call to the next, as an object may.
    this.client ??= await open(this.env.HYPERDRIVE);
    await this.client.query({ name: "note", text: "INSERT INTO notes (text) VALUES ($1)", values: [text] });
  }
}

export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    await step.do("note", () => note(this.env.HYPERDRIVE, event.payload.text));
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const binding = env[url.searchParams.get("binding") ?? "HYPERDRIVE"];
    if (url.pathname === "/handlers") {
      const room = env.ROOM.getByName("room");
      await room.note("object, first call");
      await room.note("object, second call");
      await env.QUEUE.send("queue");
      await env.FLOW.create({ params: { text: "workflow" } });
      return new Response("sent");
    }
    if (url.pathname === "/transactions") {
      const clients = await Promise.all(Array.from({ length: Number(url.searchParams.get("count")) }, () => open(binding)));
      const begun = await Promise.allSettled(clients.map((client) => client.query("BEGIN")));
      return Response.json(begun.filter(({ status }) => status === "fulfilled").length);
    }
    if (url.pathname === "/query") {
      try {
        const client = await open(binding);
        return Response.json((await client.query(url.searchParams.get("sql"))).rows);
      } catch ({ code, message }) {
        return Response.json({ code, message });
      }
    }
    // The tutorial of the documentation, with a table of plain PostgreSQL.
    const client = await open(binding);
    if (request.method === "POST" && url.pathname === "/readings") {
      const readings = await request.json();
      const { rowCount } = await client.query(
        `INSERT INTO readings (ts, sensor, metadata, value)
         SELECT coalesce(ts, now()), sensor, metadata, value FROM jsonb_to_recordset($1::jsonb)
         AS t(ts timestamptz, sensor UUID, metadata jsonb, value numeric)`,
        [JSON.stringify(readings)],
      );
      return Response.json(rowCount);
    }
    const { rows } = await client.query("SELECT * FROM readings ORDER BY ts DESC LIMIT $1", [url.searchParams.get("limit")]);
    return Response.json(rows);
  },
  async queue(batch, env) {
    for (const message of batch.messages) await note(env.HYPERDRIVE, message.body);
  },
};
