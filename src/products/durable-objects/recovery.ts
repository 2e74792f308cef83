/**
 * Point-in-time recovery on the platform's side: answers what objects ask (`recovery.worker.ts`), remembers which are to be
 * restored when they start next, and copies changed objects from time to time (`kernel/history`). Each process has a capability
 * that names its script: what it asks is checked to concern the script's own objects.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { z } from "zod";
import { isBookmark, type ObjectRef, openHistory } from "../../kernel/history/history.ts";
import { startRounds } from "../../kernel/history/rounds.ts";
import type { MetaReader } from "../../kernel/meta/meta.ts";
import type { Claims, KernelSlice } from "../../kernel/product.ts";
import type { Service } from "../../kernel/workerd/config.ts";
import type { Arrangement } from "./arrangement.ts";
import { objectIds } from "./files.ts";
import { partKeys } from "./jurisdictions.ts";

const SERVICE = "durable-objects:recovery";
const DAY_MS = 86_400_000;
const QUESTION_MAX_BYTES = 10_000;
/** Documented. */
const HISTORY_MS = 30 * DAY_MS;

const object = z.object({ part: z.string().regex(/^[0-9a-f]{32}(-[a-z]+)?$/), id: z.string().regex(/^[0-9a-f]{64}$/) });
const questionSchema = z.discriminatedUnion("ask", [
  object.extend({ ask: z.literal("current") }),
  object.extend({ ask: z.literal("at"), time: z.number() }),
  object.extend({ ask: z.literal("next"), bookmark: z.string() }),
  object.extend({ ask: z.literal("restore") }),
]);
type Question = z.infer<typeof questionSchema>;

/** A mistake of the object's code: the words are its exception's. */
class Refusal extends Error {}

interface PendingRow {
  readonly bookmark: string;
  readonly undo: string;
}

export type Recovery = Awaited<ReturnType<typeof openRecovery>>;

export async function openRecovery(kernel: KernelSlice, { directoriesOf, fileOf, isMoving }: Arrangement) {
  const { meta, clock, config, log } = kernel;
  const history = await openHistory({
    directory: join(kernel.directory, "history"),
    fileOf,
    log,
    now: () => clock.now(),
    ageMaxMs: HISTORY_MS,
    bytesMax: config["durable_objects.history_max_bytes"],
  });

  async function owns(scriptId: string, part: string): Promise<boolean> {
    const rows = await meta.all<{ id: string }>(
      "SELECT id FROM durable_objects_namespaces WHERE script_id = ? AND sqlite = 1 AND deleted_on IS NULL",
      scriptId,
    );
    return rows.some(({ id }) => partKeys(id).includes(part));
  }

  async function answer(question: Question): Promise<object> {
    const { part, id } = question;
    const object = { part, id };
    switch (question.ask) {
      case "current":
        return { bookmark: await history.current(object) };
      case "at": {
        const now = clock.now();
        if (question.time < now - HISTORY_MS || question.time > now) throw new Refusal("The time must be within the last 30 days.");
        const bookmark = await history.at(object, question.time);
        if (bookmark === undefined) throw new Refusal("The history of this Durable Object does not reach back to that time.");
        return { bookmark };
      }
      case "next": {
        const { bookmark } = question;
        if (!isBookmark(bookmark) || !history.has(object, bookmark)) throw new Refusal("The bookmark is not one of this Durable Object.");
        const undo = history.promise(object);
        // From here on the object's next start restores it.
        await meta.run(
          `INSERT INTO durable_objects_restores (part, object_id, bookmark, undo) VALUES (?, ?, ?, ?)
           ON CONFLICT (part, object_id) DO UPDATE SET bookmark = excluded.bookmark, undo = excluded.undo`,
          part,
          id,
          bookmark,
          undo,
        );
        return { bookmark: undo };
      }
      case "restore": {
        const row = await meta.get<PendingRow & Record<string, never>>(
          "SELECT bookmark, undo FROM durable_objects_restores WHERE part = ? AND object_id = ?",
          part,
          id,
        );
        if (row === undefined) return {};
        if (history.has(object, row.bookmark)) {
          await history.take(object, row.undo);
          await history.restore(object, row.bookmark);
        } else log.warn("recovery.bookmark_gone", { part, object: id });
        // Only now: after a crash the restore is done again, and nothing was written in between.
        await meta.run("DELETE FROM durable_objects_restores WHERE part = ? AND object_id = ?", part, id);
        return {};
      }
    }
  }

  const rounds = startRounds({
    history,
    log,
    intervalMs: config["durable_objects.history_interval_s"] * 1000,
    async candidates() {
      const rows = await meta.all<{ id: string }>(
        "SELECT id FROM durable_objects_namespaces WHERE sqlite = 1 AND deleted_on IS NULL LIMIT 100000",
      );
      const objects: ObjectRef[] = [];
      for (const part of rows.flatMap(({ id }) => partKeys(id)).filter((one) => !isMoving(one)))
        for (const id of await objectIds(directoriesOf(part))) objects.push({ part, id });
      return objects;
    },
  });

  return {
    /** The way from a script's process to here; `recovery.worker.ts` takes it from `env`. */
    service: (scriptId: string): Service => kernel.mint.node(SERVICE, { kind: "recovery", scriptId }),
    serviceName: SERVICE,
    /** Objects of these parts that are to be restored when they start. */
    async pending(reader: MetaReader, parts: readonly string[]): Promise<{ part: string; id: string }[]> {
      const rows = await reader.all<{ part: string; object_id: string }>(
        "SELECT part, object_id FROM durable_objects_restores LIMIT 100000",
      );
      return rows.filter(({ part }) => parts.includes(part)).map((row) => ({ part: row.part, id: row.object_id }));
    },
    async serve(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
      // Our own Worker sends a few lines, and says how long they are.
      const length = Number(request.headers["content-length"] ?? Number.POSITIVE_INFINITY);
      if (length > QUESTION_MAX_BYTES) return void response.writeHead(413).end();
      const parsed = questionSchema.safeParse(await json(request).catch(() => undefined));
      const say = (status: number, body: object): void =>
        void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      if (!parsed.success || !(await owns(String(claims.scriptId), parsed.data.part)))
        return say(403, { error: "Not one of the Worker's objects." });
      try {
        say(200, await answer(parsed.data));
      } catch (error) {
        if (error instanceof Refusal) return say(400, { error: error.message });
        log.error("recovery.failed", { error, ask: parsed.data.ask });
        say(500, { error: "Point-in-time recovery failed; the platform's log has the details." });
      }
    },
    async removeNamespace(id: string): Promise<void> {
      for (const part of partKeys(id)) {
        await history.removePart(part);
        await meta.run("DELETE FROM durable_objects_restores WHERE part = ?", part);
      }
    },
    async stop(): Promise<void> {
      await rounds.stop();
      await history.stop();
    },
  };
}
