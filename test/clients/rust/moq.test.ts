/** Needs Rust. MoQ relays between clients of draft 07 in Rust: sessions, tracks, fan-out, and what is refused. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { noRust } from "../../harness/rust.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { hex, type Peer, startPeer } from "./moq-peer.ts";

const platform = await startPlatform({ after }, { config: { "moq.quic": true, "moq.port": 0 } });
const account = platform.ready.account_id;
const cloudflare = platform.sdk();
let url: string;
let certificate: string;
let relay: Relay;

interface Relay {
  readonly uid: string;
  readonly both: string;
  readonly subscribe: string;
}

const peers: Peer[] = [];
async function peer(token: string): Promise<Peer> {
  const one = await startPeer(`${url}/${token}`, certificate);
  peers.push(one);
  return one;
}

async function createRelay(name: string): Promise<Relay> {
  const { uid, issuers } = await cloudflare.moq.relays.create({ account_id: account, name });
  const tokens = issuers.flatMap((issuer) => issuer.cloudflare_tokens);
  const secretOf = (count: number): string => tokens.find(({ operations }) => operations.length === count)?.secret as string;
  return { uid, both: secretOf(2), subscribe: secretOf(1) };
}

before(async () => {
  const { webtransport } = (await (await platform.fetch(platform.host("moq"))).json()) as {
    webtransport: { url: string; certificate: string };
  };
  url = webtransport.url;
  certificate = join(await temporaryDirectory("moq-"), "certificate.pem");
  await writeFile(certificate, webtransport.certificate);
  relay = await createRelay("live");
});
after(() => Promise.all(peers.map((one) => one.stop())));

const options = { skip: noRust };

test("[moq-01] a client sets its session up", options, async () => {
  const client = await peer(relay.both);
  await client.line(/^setup$/);
  const [, server] = await client.line(/^log received server SETUP: (.*)/);
  assert.match(server as string, /version: Version\(4278190087\).*role: Both/);
});

test(
  "[moq-02, moq-03, moq-05] what one client publishes another gets as it was, in the order of groups, under headers with a Subscribe ID",
  options,
  async () => {
    const [publisher, subscriber] = await Promise.all([peer(relay.both), peer(relay.subscribe)]);
    publisher.tell("announce", "live/one");
    publisher.tell("track", "live/one", "video");
    await publisher.line(/received message: AnnounceOk/);
    subscriber.tell("subscribe", "live/one", "video");
    await publisher.line(/received message: Subscribe \{/);
    const sent: string[] = [];
    for (let group = 0; group < 4; group++) {
      for (let object = 0; object < 3; object++) {
        const payload = `${group}.${object} ${"x".repeat(object * 100_000)}`;
        sent.push(payload);
        publisher.tell("object", "video", group, hex(payload));
      }
      // A client of this library passes over a group that it has not begun to read when the next one comes.
      await subscriber.received("video", sent.length);
    }
    const got = subscriber.objects("video");
    assert.deepEqual(
      got.map(({ payload }) => payload),
      sent,
    );
    assert.deepEqual(
      got.map(({ group, object }) => `${group}.${object}`),
      sent.map((payload) => payload.slice(0, 3)),
    );
    // Both sides' headers, in the library's own words.
    assert.match((await publisher.line(/sent group: (SubgroupHeader .*)/))[1] as string, /subscribe_id: 0, track_alias: 0, group_id: 0/);
    assert.match((await subscriber.line(/received group: (.*)/))[1] as string, /group_id: 0, subgroup_id: 0/);
  },
);

test("[moq-04] many subscribers have one subscription upstream, and who comes late begins with the newest group", options, async () => {
  const [publisher, ...subscribers] = await Promise.all([peer(relay.both), ...Array.from({ length: 4 }, () => peer(relay.subscribe))]);
  publisher.tell("announce", "live/many");
  publisher.tell("track", "live/many", "chat");
  await publisher.line(/received message: AnnounceOk/);
  for (const one of subscribers) one.tell("subscribe", "live/many", "chat");
  for (const one of subscribers) await one.line(/received message: SubscribeOk/);
  publisher.tell("object", "chat", 0, hex("hello"));
  for (const one of subscribers) assert.equal((await one.received("chat", 1))[0]?.payload, "hello");
  publisher.tell("object", "chat", 1, hex("a"));
  publisher.tell("object", "chat", 1, hex("b"));
  await subscribers[0]?.received("chat", 3);
  const late = await peer(relay.subscribe);
  late.tell("subscribe", "live/many", "chat");
  assert.deepEqual(
    (await late.received("chat", 2)).map(({ group, payload }) => `${group}${payload}`),
    ["1a", "1b"],
  );
  const asked = () => publisher.lines.filter((line) => line.includes("received message: Subscribe {")).length;
  assert.equal(asked(), 1);

  // The last one that leaves ends it, the next one begins anew.
  for (const one of [...subscribers, late]) one.tell("unsubscribe", "chat");
  await publisher.line(/received message: Unsubscribe/);
  const again = await peer(relay.subscribe);
  again.tell("subscribe", "live/many", "chat");
  await again.line(/received message: SubscribeOk/);
  assert.equal(asked(), 2);
});

test("[moq-07] a subscriber changes from one quality of a broadcast to another", options, async () => {
  const [publisher, subscriber] = await Promise.all([peer(relay.both), peer(relay.subscribe)]);
  publisher.tell("announce", "live/qualities");
  for (const quality of ["360p", "1080p"]) publisher.tell("track", "live/qualities", quality);
  await publisher.line(/received message: AnnounceOk/);
  const both = async (group: number): Promise<void> => {
    for (const quality of ["360p", "1080p"]) publisher.tell("object", quality, group, hex(`${quality} ${group}`));
  };
  subscriber.tell("subscribe", "live/qualities", "360p");
  await subscriber.line(/received message: SubscribeOk/);
  await both(0);
  await subscriber.received("360p", 1);
  const before = subscriber.lines.length;
  subscriber.tell("subscribe", "live/qualities", "1080p");
  await subscriber.line(/received message: SubscribeOk/, before);
  subscriber.tell("unsubscribe", "360p");
  await publisher.line(/received message: Unsubscribe/);
  await both(1);
  assert.equal((await subscriber.received("1080p", 1)).at(-1)?.payload.slice(0, 5), "1080p");
  await both(2);
  await subscriber.line(/^object 1080p 2 /);
  assert.deepEqual(
    subscriber.objects("360p").map(({ payload }) => payload),
    ["360p 0"],
  );
});

test("[moq-11] a session goes on when its client comes from another port", options, async () => {
  const [publisher, subscriber] = await Promise.all([peer(relay.both), peer(relay.subscribe)]);
  publisher.tell("announce", "live/moving");
  publisher.tell("track", "live/moving", "data");
  await publisher.line(/received message: AnnounceOk/);
  subscriber.tell("subscribe", "live/moving", "data");
  await subscriber.line(/received message: SubscribeOk/);
  publisher.tell("object", "data", 0, hex("before"));
  await subscriber.received("data", 1);
  for (const [round, one] of [subscriber, publisher].entries()) {
    const [, old] = await one.line(/^connected (\d+)/);
    one.tell("rebind");
    const [, now] = await one.line(/^rebound (\d+)/);
    assert.notEqual(now, old);
    publisher.tell("object", "data", round + 1, hex(`after ${round}`));
    assert.equal((await subscriber.received("data", round + 2)).at(-1)?.payload, `after ${round}`);
  }
  for (const one of [subscriber, publisher]) assert.equal(one.lines.filter((line) => line.startsWith("setup")).length, 1);
});

test(
  "[moq-13] a relay's two tokens: the one for subscribing may not publish, another relay sees nothing, a revoked one opens nothing",
  options,
  async () => {
    const other = await createRelay("other");
    const [publisher, viewer, stranger] = await Promise.all([peer(relay.both), peer(relay.subscribe), peer(other.both)]);
    publisher.tell("announce", "private");
    publisher.tell("track", "private", "data");
    await publisher.line(/received message: AnnounceOk/);
    viewer.tell("announce", "mine");
    await viewer.line(/received message: AnnounceError .*error_code: 1/);
    stranger.tell("subscribe", "private", "data");
    await stranger.line(/received message: SubscribeError .*code: 4/);

    const { issuers } = await cloudflare.moq.relays.tokens.list(other.uid, { account_id: account });
    const tokens = issuers[0]?.cloudflare_tokens ?? [];
    assert.deepEqual(tokens.map(({ operations, secret }) => [operations.length, secret]).sort(), [
      [1, undefined],
      [2, undefined],
    ]);
    const [full] = tokens.filter(({ operations }) => operations.length === 2);
    await cloudflare.moq.relays.tokens.delete(full?.jti as string, { account_id: account, relay_id: other.uid });
    await assert.rejects((await peer(other.both)).line(/^setup$/));
    await assert.rejects((await peer("no-such-token")).line(/^setup$/));
    await assert.rejects((await peer("")).line(/^setup$/));

    assert.equal((await cloudflare.moq.relays.get(other.uid, { account_id: account })).status, "connected");
    await cloudflare.moq.relays.delete(other.uid, { account_id: account });
    await stranger.line(/^ended /);
  },
);
