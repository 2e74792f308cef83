/** The SFU with Chromium as publisher and receiver: real media of a made-up camera, encoded, forwarded and decoded. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { startPlatform } from "../../harness/platform.ts";
import { type Calls, inPage, MEDIA_FLAGS, openRtcPage } from "../../harness/rtc-page.ts";

const TRACK_TIMEOUT_MS = 4_000;
const platform = await startPlatform(
  { after },
  { config: { "realtime.sfu_track_timeout_ms": TRACK_TIMEOUT_MS, "realtime.relay_private_peers": ["127.0.0.1"] } },
);
const { account_id } = platform.ready;
const { sfu, turn } = platform.sdk().calls;
const rtc = platform.ready.hosts.rtc as string;
const DEADLINE_MS = 60_000;

let app: { readonly uid: string; readonly secret: string };
let browser: Browser;
/** One page sends, another receives. */
let sender: Page;
let receiver: Page;
/** Sends a camera as "camera" and a microphone as "microphone", for every test. */
let studio: string;

before(async () => {
  app = await sfu.create({ account_id, name: "calls" });
  if (noBrowser !== false) return;
  browser = await launchBrowser({}, MEDIA_FLAGS);
  [sender, receiver] = await Promise.all([openRtcPage(browser, rtc, app), openRtcPage(browser, rtc, app)]);
  studio = await inPage(sender, "open");
  await inPage(sender, "push", studio, { video: "camera", audio: "microphone" });
});
after(() => browser?.close());

async function until<T>(what: string, look: () => Promise<T>, done: (value: T) => boolean): Promise<T> {
  for (const end = Date.now() + DEADLINE_MS; ; ) {
    const value = await look();
    if (done(value)) return value;
    assert.ok(Date.now() < end, `in vain: ${what}; last ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const api = async (method: string, path: string, body?: unknown, of = app) => {
  const headers = { authorization: `Bearer ${of.secret}`, "content-type": "application/json" };
  const answer = await platform.fetch(`${rtc}/apps/${of.uid}${path}`, {
    method,
    headers,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: answers of many operations; tests check them.
  return { status: answer.status, body: (await answer.json()) as any };
};
type Stats = Awaited<ReturnType<Calls["stats"]>>;
const received = (session: string, kind: "audio" | "video", mid?: string): Promise<Stats> =>
  inPage(receiver, "stats", session, "inbound-rtp", kind, ...(mid === undefined ? [] : [mid]));
const decodes = (session: string, mid?: string) =>
  until(
    "frames are decoded",
    () => received(session, "video", mid),
    ({ framesDecoded = 0 }) => framesDecoded >= 3,
  );
const tracksOf = async (session: string) => (await api("GET", `/sessions/${session}`)).body.tracks as Record<string, string>[];

test("[realtime-01, realtime-08] apps are made with the SDK; a secret opens its own app and no track of another", async () => {
  const other = await sfu.create({ account_id, name: "other" });
  const { secret, ...shown } = other;
  assert.match(secret, /^[0-9a-f]{64}$/);
  assert.deepEqual(await sfu.get(other.uid, { account_id }), shown);
  assert.equal((await sfu.update(other.uid, { account_id, name: "another" })).name, "another");
  const names = [];
  for await (const { name } of sfu.list({ account_id })) names.push(name);
  assert.deepEqual(names, ["calls", "another"]);

  for (const wrong of [secret, platform.ready.api_token, "0".repeat(64)]) {
    const answer = await api("POST", "/sessions/new", undefined, { uid: app.uid, secret: wrong });
    assert.deepEqual([answer.status, answer.body.errorCode], [401, "unauthorized"]);
  }
  const { sessionId } = (await api("POST", "/sessions/new", undefined, other)).body;
  // Neither sees the other's session.
  assert.equal((await api("GET", `/sessions/${sessionId}`)).status, 404);
  const mine = (await api("POST", "/sessions/new")).body.sessionId as string;
  const tracks = [{ location: "remote", sessionId: mine, trackName: "camera" }];
  const pulled = await api("POST", `/sessions/${sessionId}/tracks/new`, { tracks }, other);
  assert.deepEqual(
    [pulled.status, pulled.body.tracks[0].errorCode, pulled.body.sessionDescription],
    [200, "not_found_track_error", undefined],
  );
  if (noBrowser === false) {
    const stolen = [{ location: "remote", sessionId: studio, trackName: "camera" }];
    assert.equal(
      (await api("POST", `/sessions/${sessionId}/tracks/new`, { tracks: stolen }, other)).body.tracks[0].errorCode,
      "not_found_track_error",
    );
  }
  // With its app a session ends.
  assert.equal((await sfu.delete(other.uid, { account_id })).uid, other.uid);
  assert.equal((await api("GET", `/sessions/${sessionId}`, undefined, other)).status, 401);
});

test("[realtime-02, realtime-03, realtime-04, realtime-07] a track that one page pushes is decoded by another that pulls it, and sessions tell of it", {
  skip: noBrowser,
}, async () => {
  const created = await api("POST", "/sessions/new");
  assert.equal(created.status, 201);
  assert.match(created.body.sessionId, /^[0-9a-f]{32}$/);

  assert.equal(await inPage(sender, "state", studio), "connected");
  const sent = () => inPage(sender, "stats", studio, "outbound-rtp", "video");
  const { bytesSent = 0 } = await sent();
  await until("more is sent", sent, (now) => (now.bytesSent ?? 0) > bytesSent + 10_000);

  const session = await inPage(receiver, "open");
  const pulled = await inPage(receiver, "pull", session, [
    { sessionId: studio, trackName: "camera" },
    { sessionId: studio, trackName: "microphone" },
  ]);
  assert.equal(pulled.body.requiresImmediateRenegotiation, true);
  assert.deepEqual(
    pulled.body.tracks.map(({ trackName, mid, errorCode }: Record<string, string>) => [trackName, mid, errorCode]),
    [
      ["camera", "0", undefined],
      ["microphone", "1", undefined],
    ],
  );
  await decodes(session);
  await until(
    "sound arrives",
    () => received(session, "audio"),
    ({ packetsReceived = 0 }) => packetsReceived > 0,
  );

  const [mine, theirs] = [await tracksOf(session), await tracksOf(studio)];
  assert.deepEqual(mine, [
    { location: "remote", mid: "0", sessionId: studio, trackName: "camera", status: "active" },
    { location: "remote", mid: "1", sessionId: studio, trackName: "microphone", status: "active" },
  ]);
  assert.deepEqual(
    theirs.map(({ location, trackName, status }) => [location, trackName, status]),
    [
      ["local", "microphone", "active"],
      ["local", "camera", "active"],
    ],
  );
  await inPage(receiver, "close", session);
});

test("[realtime-05] twenty receivers of one track cost its sender nothing more", { skip: noBrowser }, async () => {
  const sessions = await Promise.all(Array.from({ length: 20 }, () => inPage(receiver, "open")));
  for (const session of sessions) await inPage(receiver, "pull", session, [{ sessionId: studio, trackName: "microphone" }]);
  const sent = () => inPage(sender, "stats", studio, "outbound-rtp", "audio");
  const before = await sent();
  const begun = await Promise.all(sessions.map((session) => received(session, "audio")));
  for (const [at, session] of sessions.entries())
    await until(
      "each hears it",
      () => received(session, "audio"),
      ({ packetsReceived = 0 }) => packetsReceived >= (begun[at]?.packetsReceived ?? 0) + 25,
    );
  const now = await sent();
  const heard = await Promise.all(sessions.map((session) => received(session, "audio")));
  const each = heard.map(({ packetsReceived = 0 }, at) => packetsReceived - (begun[at]?.packetsReceived ?? 0));
  const upload = (now.packetsSent ?? 0) - (before.packetsSent ?? 0);
  // All together had twenty times what was sent once; some of that came between the first looks and the last.
  assert.ok(each.reduce((sum, packets) => sum + packets, 0) > 4 * upload, `${upload} sent, ${each} received`);
  for (const session of sessions) await inPage(receiver, "close", session);
});

test("[realtime-06] a closed track stops at its receiver, with and without negotiation", { skip: noBrowser }, async () => {
  const session = await inPage(receiver, "open");
  await inPage(receiver, "pull", session, [
    { sessionId: studio, trackName: "camera" },
    { sessionId: studio, trackName: "microphone" },
  ]);
  await decodes(session);
  const close = (mid: string, force: boolean) => api("PUT", `/sessions/${session}/tracks/close`, { tracks: [{ mid }], force });

  const forced = await close("0", true);
  assert.deepEqual(forced.body, { requiresImmediateRenegotiation: false, tracks: [{ mid: "0" }] });
  // What was on its way then has come before as much sound.
  const soundGoesOn = async () => {
    const { packetsReceived: heard = 0 } = await received(session, "audio");
    await until(
      "sound goes on",
      () => received(session, "audio"),
      ({ packetsReceived = 0 }) => packetsReceived > heard + 25,
    );
  };
  await soundGoesOn();
  const stopped = await received(session, "video");
  await soundGoesOn();
  assert.equal((await received(session, "video")).packetsReceived, stopped.packetsReceived);
  assert.deepEqual(
    (await tracksOf(session)).map(({ mid, status }) => [mid, status]),
    [
      ["0", "inactive"],
      ["1", "active"],
    ],
  );

  const closed = await close("1", false);
  assert.equal(closed.body.requiresImmediateRenegotiation, true);
  assert.equal((await inPage(receiver, "answer", session, closed.body.sessionDescription)).status, 200);
  assert.deepEqual(
    (await tracksOf(session)).map(({ status }) => status),
    ["inactive", "inactive"],
  );
  assert.equal((await close("7", true)).body.tracks[0].errorCode, "close_track_error");

  // The sender's own: whoever pulls it gets nothing more, and the name is free.
  const own = await inPage(sender, "open");
  await inPage(sender, "push", own, { audio: "short" });
  await inPage(receiver, "pull", session, [{ sessionId: own, trackName: "short" }]);
  await api("PUT", `/sessions/${own}/tracks/close`, { tracks: [{ mid: "0" }], force: true });
  assert.deepEqual(
    (await tracksOf(own)).map(({ status }) => status),
    ["inactive"],
  );
  assert.equal((await tracksOf(session)).find(({ trackName }) => trackName === "short")?.status, "inactive");
  assert.equal(
    (await inPage(receiver, "pull", session, [{ sessionId: own, trackName: "short" }])).body.tracks[0].errorCode,
    "not_found_track_error",
  );
  await inPage(receiver, "close", session);
  await inPage(sender, "close", own);
});

test("[realtime-09] a track whose sender has fallen silent is gone", { skip: noBrowser }, async () => {
  const own = await inPage(sender, "open");
  await inPage(sender, "push", own, { audio: "fading" });
  await until(
    "it is there",
    () => tracksOf(own),
    ([track]) => track?.status === "active",
  );
  await inPage(sender, "stopSending", own);
  await until(
    "it is gone",
    () => tracksOf(own),
    ([track]) => track?.status === "inactive",
  );
  const session = (await api("POST", "/sessions/new")).body.sessionId as string;
  const tracks = [{ location: "remote", sessionId: own, trackName: "fading" }];
  await until(
    "nobody can have it",
    () => api("POST", `/sessions/${session}/tracks/new`, { tracks }),
    ({ body }) => body.tracks[0].errorCode === "not_found_track_error",
  );
  await inPage(sender, "close", own);
});

test("[realtime-10] a sixty-fifth track of a call, and a fifty-first call of a second, are refused", async () => {
  const session = (await api("POST", "/sessions/new")).body.sessionId as string;
  const tracks = (count: number) => ({
    tracks: Array.from({ length: count }, (_, at) => ({ location: "local", kind: "audio", trackName: `t${at}` })),
  });
  const refused = await api("POST", `/sessions/${session}/tracks/new`, tracks(65));
  assert.deepEqual([refused.status, refused.body.errorCode], [400, "invalid_params"]);
  const taken = await api("POST", `/sessions/${session}/tracks/new`, tracks(64));
  assert.deepEqual([taken.status, taken.body.tracks.length, taken.body.tracks[63].errorCode], [200, 64, undefined]);

  // A slow machine may need more than a second for so many.
  for (let attempt = 0; ; attempt++) {
    const begun = Date.now();
    const answers = await Promise.all(Array.from({ length: 150 }, () => api("GET", `/sessions/${session}`)));
    const seconds = Math.ceil((Date.now() - begun) / 1000) + 1;
    const good = answers.filter(({ status }) => status === 200).length;
    assert.ok(good <= 50 * seconds, `${good} calls in ${seconds} s`);
    if (answers.some(({ status }) => status === 429)) break;
    assert.ok(attempt < 5, "no call was one too many");
  }
});

test("[realtime-11] an operation before the connection waits five seconds for it, then fails", { skip: noBrowser }, async () => {
  const drafts = await inPage(sender, "open");
  await inPage(sender, "addCamera", drafts);
  const sessionDescription = await inPage(sender, "offer", drafts);
  const { sessionId } = (await api("POST", "/sessions/new", { sessionDescription })).body;
  const begun = Date.now();
  const late = await api("POST", `/sessions/${sessionId}/tracks/new`, {
    tracks: [{ location: "remote", sessionId: studio, trackName: "camera" }],
  });
  assert.deepEqual([late.status, late.body.errorCode], [425, "session_error"]);
  assert.ok(Date.now() - begun >= 4_900);
});

test("[realtime-12] what is sent on a data channel goes one way, and comes back on another", { skip: noBrowser }, async () => {
  const [one, two] = [await inPage(sender, "open", true), await inPage(receiver, "open", true)];
  const open = async (session: string, channel: object) => {
    const { body } = await api("POST", `/sessions/${session}/datachannels/new`, { dataChannels: [channel] });
    return body.dataChannels[0] as { readonly id: number; readonly errorCode?: string };
  };
  const there = await open(one, { location: "local", dataChannelName: "there" });
  const arrives = await open(two, { location: "remote", sessionId: one, dataChannelName: "there" });
  const back = await open(two, { location: "local", dataChannelName: "back" });
  const returns = await open(one, { location: "remote", sessionId: two, dataChannelName: "back" });
  assert.equal((await open(two, { location: "remote", sessionId: one, dataChannelName: "nowhere" })).errorCode, "not_found");
  for (const [page, session, { id }] of [
    [sender, one, there],
    [receiver, two, arrives],
    [receiver, two, back],
    [sender, one, returns],
  ] as const)
    await inPage(page, "channel", session, id);

  // A subscriber has nobody to talk to.
  await inPage(receiver, "send", two, arrives.id, "against the current");
  await inPage(sender, "send", one, there.id, "ping");
  await until(
    "there",
    () => inPage(receiver, "received", two, arrives.id),
    (all) => all.length > 0,
  );
  await inPage(receiver, "send", two, back.id, "pong");
  assert.deepEqual(
    await until(
      "back",
      () => inPage(sender, "received", one, returns.id),
      (all) => all.length > 0,
    ),
    ["pong"],
  );
  assert.deepEqual(await inPage(receiver, "received", two, arrives.id), ["ping"]);
  assert.deepEqual(await inPage(sender, "received", one, there.id), []);

  const { dataChannels } = (await api("GET", `/sessions/${one}`)).body;
  assert.deepEqual(
    dataChannels.map(({ location, dataChannelName, status }: Record<string, string>) => [location, dataChannelName, status]),
    [
      ["local", "there", "active"],
      ["remote", "back", "active"],
    ],
  );
  for (const [page, session] of [
    [sender, one],
    [receiver, two],
  ] as const)
    await inPage(page, "close", session);
});

test("[realtime-13] the layer of a simulcast is the one that is preferred, and another when that is asked for", {
  skip: noBrowser,
}, async () => {
  const own = await inPage(sender, "open");
  // For three layers Chromium wants a larger camera.
  const encodings = [
    { rid: "f", scaleResolutionDownBy: 1 },
    { rid: "q", scaleResolutionDownBy: 2 },
  ];
  await inPage(sender, "push", own, { video: "layers", encodings });
  const session = await inPage(receiver, "open");
  const track = (preferredRid: string) => ({
    ...{ location: "remote", sessionId: own, trackName: "layers" },
    simulcast: { preferredRid, priorityOrdering: "none", ridNotAvailable: "none" },
  });
  const pulled = await inPage(receiver, "pull", session, [track("q")]);
  const { mid } = pulled.body.tracks[0] as { mid: string };
  const width = async () => (await inPage(receiver, "size", session, mid))[0];
  const small = await until("the small one", width, (pixels) => pixels > 0);
  const updated = await api("PUT", `/sessions/${session}/tracks/update`, { tracks: [{ ...track("f"), mid }] });
  assert.deepEqual([updated.body.requiresImmediateRenegotiation, updated.body.tracks[0].errorCode], [false, undefined]);
  const large = await until("the large one", width, (pixels) => pixels >= 2 * small);
  assert.ok(small * 2 <= large, `${small}, then ${large}`);
  await api("PUT", `/sessions/${session}/tracks/update`, { tracks: [{ ...track("q"), mid }] });
  await until("the small one again", width, (pixels) => pixels <= small);
  await inPage(sender, "close", own);
  await inPage(receiver, "close", session);
});

test("[realtime-15] VP8, VP9 and H264 arrive as they were sent, with Opus beside them, and AV1 where the browser has it", {
  skip: noBrowser,
}, async () => {
  const able = new Set(await inPage(sender, "codecs"));
  const codecs = ["video/VP8", "video/VP9", "video/H264", ...["video/AV1", "video/H265"].filter((codec) => able.has(codec))];
  const [own, session] = [await inPage(sender, "open"), await inPage(receiver, "open")];
  for (const codec of codecs) {
    const pushed = await inPage(sender, "push", own, { video: codec, audio: `sound of ${codec}`, codec });
    assert.equal(pushed.body.tracks.length, 2);
    const pulled = await inPage(receiver, "pull", session, [
      { sessionId: own, trackName: codec },
      { sessionId: own, trackName: `sound of ${codec}` },
    ]);
    const [video, audio] = pulled.body.tracks as { mid: string }[];
    await decodes(session, video?.mid);
    assert.equal(await inPage(receiver, "codec", session, "inbound-rtp", "video", video?.mid), codec);
    await until(
      "sound",
      () => received(session, "audio", audio?.mid),
      ({ packetsReceived = 0 }) => packetsReceived > 0,
    );
    assert.equal(await inPage(receiver, "codec", session, "inbound-rtp", "audio", audio?.mid), "audio/opus");
    const tracks = pulled.body.tracks.map(({ mid }: { mid: string }) => ({ mid }));
    await api("PUT", `/sessions/${session}/tracks/close`, { tracks, force: true });
    await api("PUT", `/sessions/${own}/tracks/close`, {
      tracks: pushed.body.tracks.map(({ mid }: { mid: string }) => ({ mid })),
      force: true,
    });
    await inPage(sender, "stopSending", own);
  }
  await inPage(sender, "close", own);
  await inPage(receiver, "close", session);
});

test("[realtime-16] the SFU names the tracks that it finds in an offer, and makes the offer itself where it is asked to", {
  skip: noBrowser,
}, async () => {
  const found = await inPage(sender, "open");
  await inPage(sender, "addCamera", found);
  const sessionDescription = await inPage(sender, "offer", found);
  const discovered = await api("POST", `/sessions/${found}/tracks/new`, { autoDiscover: true, sessionDescription });
  const names = discovered.body.tracks.map(({ trackName }: { trackName: string }) => trackName);
  assert.equal(new Set(names).size, 2);
  await inPage(sender, "accept", found, discovered.body.sessionDescription);
  await until(
    "both are sent",
    () => tracksOf(found),
    (tracks) => tracks.every(({ status }) => status === "active"),
  );

  const offered = await inPage(sender, "open");
  const asked = await api("POST", `/sessions/${offered}/tracks/new`, {
    tracks: [{ location: "local", trackName: "mic-1", kind: "audio" }],
  });
  assert.deepEqual([asked.body.requiresImmediateRenegotiation, asked.body.sessionDescription.type], [true, "offer"]);
  await inPage(sender, "accept", offered, asked.body.sessionDescription);
  await inPage(sender, "addAudio", offered);
  const answered = await inPage(sender, "answer", offered, asked.body.sessionDescription);
  assert.equal(answered.status, 200);
  await until(
    "it is sent",
    () => tracksOf(offered),
    ([track]) => track?.trackName === "mic-1" && track.status === "active",
  );
  const session = await inPage(receiver, "open");
  await inPage(receiver, "pull", session, [{ sessionId: offered, trackName: "mic-1" }]);
  await until(
    "it is heard",
    () => received(session, "audio"),
    ({ packetsReceived = 0 }) => packetsReceived > 0,
  );
  for (const one of [found, offered]) await inPage(sender, "close", one);
  await inPage(receiver, "close", session);
});

test("[realtime-22] Chromium takes the ICE servers as they come, and reaches the SFU through the relay alone", {
  skip: noBrowser,
}, async () => {
  const key = await turn.create({ account_id, name: "calls" });
  const answer = await platform.fetch(`${rtc}/turn/keys/${key.uid}/credentials/generate-ice-servers`, {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({ ttl: 600 }),
  });
  const { iceServers } = (await answer.json()) as { iceServers: object[] };
  const own = await inPage(sender, "open", false, { iceServers, iceTransportPolicy: "relay" });
  assert.equal((await inPage(sender, "push", own, { audio: "relayed" })).status, 200);
  assert.equal(await inPage(sender, "route", own), "relay");
  await until(
    "it arrives",
    () => tracksOf(own),
    ([track]) => track?.status === "active",
  );
  await inPage(sender, "close", own);
});
