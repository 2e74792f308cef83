/** REST of RealtimeKit, as the `cloudflare` SDKs send it: answers are `{ success, data, paging }`, errors are in the envelope. */
import { z } from "zod";
import type { RequestContext, Route } from "../../../kernel/product.ts";
import { realtimeError } from "../errors.ts";
import { READ, WRITE } from "../routes.ts";
import type { Joins } from "./joins.ts";
import { type KitObject, type Listed, type Objects, ROOT } from "./objects.ts";

const BASE = "/accounts/:account/realtime/kit";
const APP = `${BASE}/:app`;
const MEETING = `${APP}/meetings/:meeting`;
const PARTICIPANT = `${MEETING}/participants/:participant`;
const PRESET = `${APP}/presets/:preset`;
const SESSION = `${APP}/sessions/:session`;
const BODY_MAX_BYTES = 256 * 1024;

const name = z.string().min(1).max(255);
const options = z.record(z.string().max(64), z.unknown());

const meetingSchema = z.object({
  title: z.string().max(1000).nullish(),
  status: z.enum(["ACTIVE", "INACTIVE"]).optional(),
  persist_chat: z.boolean().optional(),
  record_on_start: z.boolean().optional(),
  live_stream_on_start: z.boolean().optional(),
  summarize_on_end: z.boolean().optional(),
  transcribe_on_end: z.boolean().optional(),
  session_keep_alive_time_in_secs: z.number().int().min(0).max(600).optional(),
  recording_config: options.optional(),
  ai_config: options.optional(),
});
const participantSchema = z.object({
  name: z.string().max(255).nullish(),
  picture: z.string().max(2048).nullish(),
  preset_name: name,
  custom_participant_id: z.string().min(1).max(255),
});
const participantChange = participantSchema.omit({ custom_participant_id: true }).partial();
const presetSchema = z.object({ name, config: options, permissions: options.optional(), ui: options });
const appSchema = z.object({ name });
const kickSchema = z.object({
  participant_ids: z.array(z.string()).max(1000).optional(),
  custom_participant_ids: z.array(z.string()).max(1000).optional(),
});

type Meeting = z.infer<typeof meetingSchema>;

const time = (at: number): string => new Date(at).toISOString();
const dated = ({ id, created, updated }: KitObject) => ({ id, created_at: time(created), updated_at: time(updated) });
const ok = (data: unknown, status = 200): Response => Response.json({ success: true, data }, { status });
const page = ({ paging }: Listed, data: unknown): Response => Response.json({ success: true, data, paging });

const appView = ({ id, name: title, created }: KitObject) => ({ id, name: title, created_at: time(created) });
const meetingView = (meeting: KitObject) => ({ ...dated(meeting), ...meeting.settings });
const presetView = (preset: KitObject) => ({ ...dated(preset), name: preset.name, ...preset.settings });
const participantView = (participant: KitObject) => {
  const { preset: _, ...settings } = participant.settings;
  return { ...dated(participant), ...settings };
};

/** What nothing here would do. */
function refuseUnknown(meeting: Meeting): void {
  for (const member of ["record_on_start", "live_stream_on_start", "summarize_on_end", "transcribe_on_end"] as const)
    if (meeting[member] === true) throw realtimeError("notImplemented", `${member} is not implemented by this version of Freehold`);
}

function meetingSettings({ title, ...settings }: Meeting): Record<string, unknown> {
  return { title: title ?? "", status: "ACTIVE", persist_chat: false, record_on_start: false, live_stream_on_start: false, ...settings };
}

/** Only what was given. */
const changes = (given: object): object => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

export function kitRoutes(objects: Objects, joins: Joins): Route[] {
  const param = (c: RequestContext, key: string): string => c.params[key] as string;
  const appOf = (c: RequestContext): Promise<KitObject> => objects.get("app", param(c, "app"), param(c, "app"));
  const meetingOf = (c: RequestContext): Promise<KitObject> => objects.get("meeting", param(c, "app"), param(c, "meeting"));
  const participantOf = (c: RequestContext): Promise<KitObject> =>
    objects.get("participant", param(c, "app"), param(c, "participant"), param(c, "meeting"));
  const presetOf = (c: RequestContext): Promise<KitObject> => objects.get("preset", param(c, "app"), param(c, "preset"));
  const sessionOf = (c: RequestContext): Promise<KitObject> => objects.get("session", param(c, "app"), param(c, "session"));
  const note = (c: RequestContext, type: "create" | "update" | "delete", kind: string, id: string): void =>
    c.audit({ info: `${type} RealtimeKit ${kind}`, type, resource: { type: `realtime.kit.${kind}`, id } });

  async function presetNamed(app: string, wanted: string): Promise<KitObject> {
    const preset = await objects.byName("preset", app, wanted);
    if (preset === undefined) throw realtimeError("notFound", `there is no preset "${wanted}"`);
    return preset;
  }

  async function saveMeeting(c: RequestContext, meeting: KitObject, settings: object): Promise<Response> {
    await objects.transaction((tx) => objects.save(tx, meeting, String((settings as { title?: string }).title ?? ""), { ...settings }));
    note(c, "update", "meeting", meeting.id);
    return ok(meetingView(await meetingOf(c)));
  }

  async function savePreset(c: RequestContext, preset: KitObject, wanted: string, settings: object): Promise<Response> {
    await objects.transaction(async (tx) => {
      const other = await objects.byName("preset", preset.app, wanted, tx);
      if (other !== undefined && other.id !== preset.id) throw realtimeError("exists");
      await objects.save(tx, preset, wanted, { ...settings });
    });
    note(c, "update", "preset", preset.id);
    return ok(presetView(await presetOf(c)));
  }

  const route = (op: string, method: Route["method"], path: string, handle: (c: RequestContext) => Promise<Response>): Route => ({
    ...{ op: `realtime.kit.${op}`, method, path, handle },
    permission: method === "GET" ? READ : WRITE,
  });

  return [
    route("apps.list", "GET", `${BASE}/apps`, async (c) => {
      const listed = await objects.list("app", { parent: ROOT }, c.query);
      return page(listed, listed.objects.map(appView));
    }),
    route("apps.create", "POST", `${BASE}/apps`, async (c) => {
      const given = await c.json(appSchema, BODY_MAX_BYTES);
      const app = await objects.create("app", { app: "", parent: ROOT, name: given.name, settings: {} });
      note(c, "create", "app", app.id);
      return ok({ app: appView(app) }, 201);
    }),

    route("meetings.list", "GET", `${APP}/meetings`, async (c) => {
      const listed = await objects.list("meeting", { parent: (await appOf(c)).id }, c.query);
      return page(listed, listed.objects.map(meetingView));
    }),
    route("meetings.create", "POST", `${APP}/meetings`, async (c) => {
      const given = await c.json(meetingSchema, BODY_MAX_BYTES);
      refuseUnknown(given);
      const app = await appOf(c);
      const meeting = await objects.create("meeting", {
        app: app.id,
        parent: app.id,
        name: given.title ?? "",
        settings: meetingSettings(given),
      });
      note(c, "create", "meeting", meeting.id);
      return ok(meetingView(meeting), 201);
    }),
    route("meetings.get", "GET", MEETING, async (c) => ok(meetingView(await meetingOf(c)))),
    route("meetings.update", "PATCH", MEETING, async (c) => {
      const given = await c.json(meetingSchema, BODY_MAX_BYTES);
      refuseUnknown(given);
      const meeting = await meetingOf(c);
      return saveMeeting(c, meeting, { ...meeting.settings, ...changes(given) });
    }),
    route("meetings.replace", "PUT", MEETING, async (c) => {
      const given = await c.json(meetingSchema, BODY_MAX_BYTES);
      refuseUnknown(given);
      return saveMeeting(c, await meetingOf(c), meetingSettings(given));
    }),

    route("participants.list", "GET", `${MEETING}/participants`, async (c) => {
      const listed = await objects.list("participant", { parent: (await meetingOf(c)).id }, c.query);
      return page(listed, listed.objects.map(participantView));
    }),
    route("participants.create", "POST", `${MEETING}/participants`, async (c) => {
      const given = await c.json(participantSchema, BODY_MAX_BYTES);
      const meeting = await meetingOf(c);
      if (meeting.settings.status === "INACTIVE") throw realtimeError("inactive");
      const preset = await presetNamed(meeting.app, given.preset_name);
      const settings = { name: null, picture: null, ...changes(given), preset: preset.id };
      const participant = await objects.create("participant", { app: meeting.app, parent: meeting.id, name: given.name ?? "", settings });
      note(c, "create", "participant", participant.id);
      return ok({ ...participantView(participant), token: joins.token(participant) }, 201);
    }),
    route("participants.get", "GET", PARTICIPANT, async (c) => ok(participantView(await participantOf(c)))),
    route("participants.update", "PATCH", PARTICIPANT, async (c) => {
      const given = await c.json(participantChange, BODY_MAX_BYTES);
      const before = await participantOf(c);
      const preset = given.preset_name === undefined ? {} : { preset: (await presetNamed(before.app, given.preset_name)).id };
      const settings = { ...before.settings, ...changes(given), ...preset };
      await objects.transaction((tx) => objects.save(tx, before, given.name ?? before.name, settings));
      note(c, "update", "participant", before.id);
      const participant = await participantOf(c);
      return ok({ ...participantView(participant), token: joins.token(participant) });
    }),
    route("participants.delete", "DELETE", PARTICIPANT, async (c) => {
      const participant = await participantOf(c);
      await objects.remove(participant);
      note(c, "delete", "participant", participant.id);
      const { created_at, updated_at } = dated(participant);
      const { custom_participant_id, preset } = participant.settings;
      return ok({ created_at, updated_at, custom_participant_id, preset_id: preset });
    }),
    route("participants.token", "POST", `${PARTICIPANT}/token`, async (c) => {
      if ((await meetingOf(c)).settings.status === "INACTIVE") throw realtimeError("inactive");
      return ok({ token: joins.token(await participantOf(c)) });
    }),

    route("presets.list", "GET", `${APP}/presets`, async (c) => {
      const listed = await objects.list("preset", { parent: (await appOf(c)).id }, c.query);
      return page(
        listed,
        listed.objects.map((preset) => ({ ...dated(preset), name: preset.name })),
      );
    }),
    route("presets.create", "POST", `${APP}/presets`, async (c) => {
      const { name: wanted, ...settings } = await c.json(presetSchema, BODY_MAX_BYTES);
      const app = await appOf(c);
      const preset = await objects.transaction(async (tx) => {
        if ((await objects.byName("preset", app.id, wanted, tx)) !== undefined) throw realtimeError("exists");
        return objects.insert(tx, "preset", { app: app.id, parent: app.id, name: wanted, settings });
      });
      note(c, "create", "preset", preset.id);
      return ok(presetView(preset), 201);
    }),
    route("presets.get", "GET", PRESET, async (c) => ok(presetView(await presetOf(c)))),
    route("presets.update", "PATCH", PRESET, async (c) => {
      const { name: wanted, ...given } = await c.json(presetSchema.partial(), BODY_MAX_BYTES);
      const preset = await presetOf(c);
      return savePreset(c, preset, wanted ?? preset.name, { ...preset.settings, ...changes(given) });
    }),
    route("presets.replace", "PUT", PRESET, async (c) => {
      const { name: wanted, ...settings } = await c.json(presetSchema, BODY_MAX_BYTES);
      return savePreset(c, await presetOf(c), wanted, settings);
    }),
    route("presets.delete", "DELETE", PRESET, async (c) => {
      const preset = await presetOf(c);
      await objects.remove(preset);
      note(c, "delete", "preset", preset.id);
      return ok(presetView(preset));
    }),

    route("sessions.list", "GET", `${APP}/sessions`, async (c) => {
      const listed = await objects.list("session", { app: (await appOf(c)).id }, c.query);
      return page(listed, { sessions: await Promise.all(listed.objects.map((session) => joins.view(session))) });
    }),
    route("sessions.get", "GET", SESSION, async (c) => ok({ session: await joins.view(await sessionOf(c)) })),
    route("sessions.participants", "GET", `${SESSION}/participants`, async (c) =>
      ok({ participants: await joins.participants(await sessionOf(c)) }),
    ),
    route("activeSession.get", "GET", `${MEETING}/active-session`, async (c) => ok(await joins.active(await meetingOf(c)))),
    route("activeSession.kick", "POST", `${MEETING}/active-session/kick`, async (c) => {
      const { participant_ids = [], custom_participant_ids = [] } = await c.json(kickSchema, BODY_MAX_BYTES);
      const meeting = await meetingOf(c);
      const participants = await objects.children("participant", meeting.id);
      const named = participants.filter(({ settings }) => custom_participant_ids.includes(String(settings.custom_participant_id)));
      const kicked = await joins.kick(meeting, [...participant_ids, ...named.map(({ id }) => id)]);
      const shown = participants.filter(({ id }) => kicked.includes(id)).map((one) => ({ ...dated(one), name: one.name }));
      return ok({ action: "kick", participants: shown });
    }),
    route("activeSession.kickAll", "POST", `${MEETING}/active-session/kick-all`, async (c) => {
      await joins.kick(await meetingOf(c), undefined);
      return ok({ action: "kick-all" });
    }),
  ];
}
