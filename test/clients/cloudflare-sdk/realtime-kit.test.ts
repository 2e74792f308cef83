/** RealtimeKit's REST API with the SDK; joining, which has no public protocol, with requests of its own. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after });
const { account_id } = platform.ready;
const { realtimeKit } = platform.sdk();

type Preset = Parameters<typeof realtimeKit.presets.create>[1];
const preset = (name: string, view_type: "GROUP_CALL" | "WEBINAR" = "GROUP_CALL"): Preset => ({
  account_id,
  name,
  config: {
    max_screenshare_count: 1,
    max_video_streams: { desktop: 10, mobile: 4 },
    media: { screenshare: { frame_rate: 5, quality: "hd" }, video: { frame_rate: 30, quality: "hd" } },
    view_type,
  },
  permissions: { chat: { public: { can_send: true, files: true, text: true } } } as Preset["permissions"],
  ui: {} as Preset["ui"],
});

let app: string;
before(async () => {
  const { data } = await realtimeKit.apps.post({ account_id, name: "school" });
  app = data?.app?.id as string;
  await realtimeKit.presets.create(app, preset("teacher"));
});

const rtc = async (path: string, token: string, body: object = {}) => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await platform.fetch(`${platform.ready.hosts.rtc}/kit/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as Record<string, string> };
};
const meetingOf = async (title: string): Promise<string> =>
  (await realtimeKit.meetings.create(app, { account_id, title })).data?.id as string;
const inApp = () => ({ account_id, app_id: app });
async function participantOf(meeting: string, custom_participant_id: string) {
  const who = { ...inApp(), custom_participant_id, preset_name: "teacher", name: custom_participant_id };
  const { data } = await realtimeKit.meetings.addParticipant(meeting, who);
  assert.ok(data);
  return data;
}

test("[realtime-34] apps, meetings and participants are made, listed, changed and found again; nobody joins an inactive meeting", async () => {
  const apps = await realtimeKit.apps.get({ account_id, search: "SCHO" });
  assert.deepEqual(
    apps.data?.map(({ id, name }) => [id, name]),
    [[app, "school"]],
  );
  assert.deepEqual(apps.paging, { total_count: 1, start_offset: 0, end_offset: 1 });

  const meeting = await meetingOf("Algebra");
  const other = await meetingOf("Biology");
  const shown = await realtimeKit.meetings.getMeetingByID(meeting, inApp());
  assert.deepEqual([shown.data?.id, shown.data?.title, shown.data?.status], [meeting, "Algebra", "ACTIVE"]);
  const listed = await realtimeKit.meetings.get(app, { account_id, per_page: 1, page_no: 2 });
  assert.deepEqual([listed.data.length, listed.paging.total_count, listed.paging.start_offset], [1, 2, 1]);
  const replaced = await realtimeKit.meetings.replaceMeetingByID(other, { ...inApp(), title: "Botany", persist_chat: true });
  assert.deepEqual([replaced.data?.title, replaced.data?.persist_chat], ["Botany", true]);

  const ada = await participantOf(meeting, "ada");
  assert.deepEqual([ada.custom_participant_id, ada.preset_name, ada.name], ["ada", "teacher", "ada"]);
  const participants = await realtimeKit.meetings.getMeetingParticipants(meeting, inApp());
  assert.deepEqual(
    participants.data.map(({ id, ...rest }) => [id, "token" in rest]),
    [[ada.id, false]],
  );
  const edited = await realtimeKit.meetings.editParticipant(ada.id, { ...inApp(), meeting_id: meeting, name: "Ada L." });
  assert.equal(edited.data?.name, "Ada L.");
  await assert.rejects(realtimeKit.meetings.getMeetingParticipant(ada.id, { ...inApp(), meeting_id: other }), { status: 404 });
  await assert.rejects(realtimeKit.meetings.addParticipant(meeting, { ...inApp(), custom_participant_id: "x", preset_name: "nobody" }), {
    status: 404,
  });

  assert.equal((await rtc("join", ada.token)).status, 201);
  const closed = await realtimeKit.meetings.updateMeetingByID(meeting, { ...inApp(), status: "INACTIVE" });
  assert.deepEqual([closed.data?.status, closed.data?.title], ["INACTIVE", "Algebra"]);
  assert.equal((await rtc("join", ada.token)).status, 403);
  await assert.rejects(realtimeKit.meetings.addParticipant(meeting, { ...inApp(), custom_participant_id: "bob", preset_name: "teacher" }), {
    status: 400,
  });
  await realtimeKit.meetings.updateMeetingByID(meeting, { ...inApp(), status: "ACTIVE" });
  assert.equal((await rtc("join", ada.token)).status, 201);

  // What nothing would do is refused by name.
  await assert.rejects(realtimeKit.meetings.create(app, { account_id, record_on_start: true }), { status: 501 });
  const { data: elsewhere } = await realtimeKit.apps.post({ account_id, name: "elsewhere" });
  await assert.rejects(realtimeKit.meetings.getMeetingByID(meeting, { account_id, app_id: elsewhere?.app?.id as string }), { status: 404 });
});

test("[realtime-35] presets are made, applied to participants, changed and replaced; a name is there once", async () => {
  const made = await realtimeKit.presets.create(app, preset("guest"));
  const { id } = made.data;
  assert.deepEqual([made.data.name, made.data.config.view_type], ["guest", "GROUP_CALL"]);
  await assert.rejects(realtimeKit.presets.create(app, preset("guest")), { status: 409 });
  const names = (await realtimeKit.presets.get(app, { account_id })).data.map(({ name }) => name);
  assert.deepEqual(names.sort(), ["guest", "teacher"]);

  const meeting = await meetingOf("Chemistry");
  const who = { ...inApp(), custom_participant_id: "eve", preset_name: "guest" };
  const { data: eve } = await realtimeKit.meetings.addParticipant(meeting, who);
  assert.equal(eve?.preset_name, "guest");
  const promoted = await realtimeKit.meetings.editParticipant(eve?.id as string, {
    ...inApp(),
    meeting_id: meeting,
    preset_name: "teacher",
  });
  assert.equal(promoted.data?.preset_name, "teacher");

  const updated = await realtimeKit.presets.update(id, { ...inApp(), name: "visitor" });
  assert.deepEqual([updated.data.name, updated.data.config.view_type], ["visitor", "GROUP_CALL"]);
  const replaced = await realtimeKit.presets.replacePresetByID(id, { ...preset("audience", "WEBINAR"), app_id: app });
  assert.deepEqual([replaced.data.name, replaced.data.config.view_type], ["audience", "WEBINAR"]);
  const shown = await realtimeKit.presets.getPresetByID(id, inApp());
  assert.deepEqual(shown.data.config, preset("audience", "WEBINAR").config);
  await realtimeKit.presets.delete(id, inApp());
  await assert.rejects(realtimeKit.presets.getPresetByID(id, inApp()), { status: 404 });
});

test("[realtime-36] a participant gets a new token, and once it is deleted no token of it lets anybody in", async () => {
  const meeting = await meetingOf("Drama");
  const [ada, bob] = [await participantOf(meeting, "ada"), await participantOf(meeting, "bob")];
  const fresh = await realtimeKit.meetings.refreshParticipantToken(ada.id, { ...inApp(), meeting_id: meeting });
  const token = fresh.data.token;
  assert.equal((await rtc("join", token)).status, 201);
  for (const wrong of [`${token}x`, `${token.split(".").slice(0, 2).join(".")}.`, platform.ready.api_token])
    assert.equal((await rtc("join", wrong)).status, 401);
  await realtimeKit.meetings.deleteMeetingParticipant(ada.id, { ...inApp(), meeting_id: meeting });
  for (const old of [ada.token, token]) assert.equal((await rtc("join", old)).status, 401);
  assert.equal((await rtc("join", bob.token)).status, 201);
  await assert.rejects(realtimeKit.meetings.refreshParticipantToken(ada.id, { ...inApp(), meeting_id: meeting }), { status: 404 });
});

test("a session begins with the first who joins and ends with the last who leaves; who is kicked may come again", async () => {
  const meeting = await meetingOf("Ethics");
  const [ada, bob] = [await participantOf(meeting, "ada"), await participantOf(meeting, "bob")];
  const active = () => realtimeKit.activeSession.getActiveSession(meeting, inApp());
  await assert.rejects(active(), { status: 404 });
  const first = (await rtc("join", ada.token)).body;
  const second = (await rtc("join", bob.token)).body;
  assert.equal(second.session_id, first.session_id);
  // The same peer once more is not another one; and nobody is another's peer.
  assert.equal((await rtc("join", ada.token, { peer_id: first.peer_id })).body.peer_id, first.peer_id);
  assert.equal((await rtc("join", bob.token, { peer_id: first.peer_id })).status, 410);
  assert.equal((await rtc("leave", bob.token, { peer_id: first.peer_id })).status, 404);
  const live = (await active()).data;
  assert.deepEqual([live?.status, live?.live_participants, live?.associated_id], ["LIVE", 2, meeting]);

  const kicked = await realtimeKit.activeSession.kickParticipants(meeting, {
    ...inApp(),
    participant_ids: [bob.id],
    custom_participant_ids: [],
  });
  assert.deepEqual(
    kicked.data?.participants?.map(({ id }) => id),
    [bob.id],
  );
  assert.equal((await rtc("join", bob.token, { peer_id: second.peer_id })).status, 410);
  assert.equal((await active()).data?.live_participants, 1);
  assert.equal((await rtc("leave", ada.token, { peer_id: first.peer_id })).status, 200);
  await assert.rejects(active(), { status: 404 });
  const sessions = (await realtimeKit.sessions.getSessions(app, { account_id })).data?.sessions ?? [];
  const ended = sessions.find(({ id }) => id === first.session_id);
  assert.deepEqual([ended?.status, ended?.max_concurrent_participants], ["ENDED", 2]);
  const there = await realtimeKit.sessions.getSessionParticipants(first.session_id as string, inApp());
  assert.deepEqual(there.data?.participants?.map(({ display_name }) => display_name).sort(), ["ada", "bob"]);
  assert.notEqual((await rtc("join", bob.token)).body.session_id, first.session_id);
});
