/** TURN and STUN with coturn's clients, and with requests that no client sends; keys by the SDK, figures by GraphQL. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { startPlatform, type TestPlatform } from "../../harness/platform.ts";
import { ALLOCATE, openTurnClient } from "../../harness/turn-client.ts";
import { rowsOf } from "../analytics.ts";

const run = promisify(execFile);
const noTurnutils: string | false =
  spawnSync("turnutils_stunclient", ["-h"]).error === undefined ? false : "no turnutils on this machine (Debian: apt-get install coturn)";

/** An address of this machine that no other test has; peers have their own in its network. */
const NETWORK = `127.${randomInt(64, 255)}.${randomInt(1, 255)}`;
const HOST = `${NETWORK}.1`;
const [ALLOCATE_METHOD, REFRESH, PERMISSION, CHANNEL_BIND, CONNECT, CONNECTION_BIND] = [3, 4, 8, 9, 10, 11];
const DEADLINE_MS = 60_000;

/** The ports that need root; where they cannot be had, they are left out. */
const usual = (await Promise.all([canListen(53), canListen(80), canListen(443)])).every(Boolean);
const platform: TestPlatform = await startPlatform(
  { after },
  {
    config: {
      "realtime.turn_host": HOST,
      "realtime.relay_private_peers": [`${NETWORK}.0/24`],
      ...(usual && {
        "realtime.turn_udp_ports": ["0", "53"],
        "realtime.turn_tcp_ports": ["0", "80"],
        "realtime.turn_tls_ports": ["0", "443"],
      }),
    },
  },
);
const { account_id } = platform.ready;
const { turn } = platform.sdk().calls;

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  const listening = Promise.race([once(server, "listening").then(() => true), once(server, "error").then(() => false)]);
  server.listen(port, HOST);
  const free = await listening;
  server.close();
  return free;
}

interface Credential {
  readonly username: string;
  readonly password: string;
  readonly urls: readonly string[];
  readonly udp: number;
  readonly tcp: number;
  readonly tls: number;
}

let key: { readonly uid: string; readonly key: string };
const rtc = (path: string, secret: string, body: unknown = {}) =>
  platform.fetch(`${platform.ready.hosts.rtc}/turn/keys/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

async function credentialOf(customIdentifier?: string, ttl = 600): Promise<Credential> {
  const answer = await rtc(`${key.uid}/credentials/generate-ice-servers`, key.key, { ttl, customIdentifier });
  assert.equal(answer.status, 201);
  const { iceServers } = (await answer.json()) as { iceServers: { urls: string[]; username: string; credential: string }[] };
  const { urls, username, credential: password } = iceServers[1]!;
  const portOf = (start: RegExp): number => Number(/:(\d+)\?/.exec(urls.find((url) => start.test(url)) ?? "")?.[1]);
  const [udp, tcp, tls] = [portOf(/^turn:.*=udp$/), portOf(/^turn:.*=tcp$/), portOf(/^turns:/)];
  return { username, password, urls: [...iceServers[0]!.urls, ...urls], udp, tcp, tls };
}

async function peerAt(address: string): Promise<Socket> {
  const peer = createSocket("udp4").unref();
  peer.on("message", (bytes, { port, address: from }) => peer.send(bytes, port, from));
  peer.bind(0, address);
  await once(peer, "listening");
  return peer;
}

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + DEADLINE_MS; !(await done()); ) {
    assert.ok(Date.now() < end, `in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

let echo: Socket;
before(async () => {
  key = await turn.create({ account_id, name: "calls" });
  echo = await peerAt(`${NETWORK}.2`);
});
after(() => echo.close());

/** coturn's client: ten messages to the peer and back. What it prints, or the error of its end. */
const uclient = (port: number, { username, password }: Credential, ...options: string[]): Promise<string> =>
  run("turnutils_uclient", [
    ...["-u", username, "-w", password, "-p", String(port), "-e", `${NETWORK}.2`, "-r", String(echo.address().port)],
    ...["-n", "10", "-c", "-z", "5", ...options, HOST],
  ]).then(({ stdout }) => stdout);

test("[realtime-21] TURN keys are made, listed, renamed and deleted with the SDK, and their secret is shown once", async () => {
  const made = await turn.create({ account_id, name: "one" });
  assert.match(made.uid, /^[0-9a-f]{32}$/);
  assert.match(made.key, /^[0-9a-f]{64}$/);
  const { key: secret, ...shown } = made;
  assert.deepEqual(await turn.get(made.uid, { account_id }), shown);
  const listed = [];
  for await (const one of turn.list({ account_id })) listed.push(one);
  assert.deepEqual(
    listed.find(({ uid }) => uid === made.uid),
    shown,
  );
  assert.equal((await turn.update(made.uid, { account_id, name: "two" })).name, "two");
  assert.equal((await turn.get(made.uid, { account_id })).name, "two");
  // A key's secret is no other key's, and not the account's.
  for (const [uid, value] of [
    [key.uid, secret],
    [made.uid, key.key],
    [made.uid, platform.ready.api_token],
    [made.uid, ""],
  ] as const)
    assert.equal((await rtc(`${uid}/credentials/generate-ice-servers`, value, { ttl: 60 })).status, 401);
  const credential = (await (await rtc(`${made.uid}/credentials/generate`, secret, { ttl: 60 })).json()) as {
    iceServers: { username: string };
  };
  const { username } = credential.iceServers;
  assert.equal((await rtc(`${key.uid}/credentials/${username}/revoke`, key.key)).status, 404, "another key's credential");
  for (const ttl of [0, -1, 172_801, "60", undefined])
    assert.equal((await rtc(`${made.uid}/credentials/generate`, secret, { ttl })).status, 400, `ttl ${ttl}`);
  assert.equal((await turn.delete(made.uid, { account_id })).uid, made.uid);
  await assert.rejects(turn.get(made.uid, { account_id }), { status: 404 });
  assert.equal((await rtc(`${made.uid}/credentials/generate`, secret, { ttl: 60 })).status, 401);
});

test("[realtime-24] turnutils_stunclient learns its own address", { skip: noTurnutils }, async () => {
  const { urls, udp } = await credentialOf();
  assert.deepEqual(
    urls.filter((url) => url.startsWith("stun:")),
    [`stun:turn.${platform.ready.domain}:${udp}`, ...(usual ? [`stun:turn.${platform.ready.domain}:53`] : [])],
  );
  const { stdout } = await run("turnutils_stunclient", ["-p", String(udp), HOST]);
  assert.match(stdout, /UDP reflexive addr: 127\.0\.0\.1:\d+/);
});

test("[realtime-25, realtime-29, realtime-30] turnutils_uclient relays over UDP, TCP and TLS, and GraphQL tells how much, by custom identifier", {
  skip: noTurnutils,
}, async () => {
  const [tango, foxtrot] = [await credentialOf("tango"), await credentialOf("foxtrot")];
  const outputs = await Promise.all([
    uclient(tango.udp, tango),
    uclient(tango.tcp, tango, "-t"),
    uclient(tango.tls, tango, "-t", "-S"),
    uclient(foxtrot.udp, foxtrot, "-s"),
  ]);
  for (const output of outputs) assert.match(output, /tot_send_msgs=10, tot_recv_msgs=10/);

  const rows = () =>
    rowsOf(
      platform,
      "callsTurnUsageAdaptiveGroups",
      "",
      "orderBy: [sum_egressBytes_DESC]",
      "dimensions { customIdentifier keyId } sum { egressBytes ingressBytes } avg { concurrentConnectionsFiveMinutes }",
    ) as unknown as Promise<Usage[]>;
  // Ten messages of a hundred bytes went out and came back on each connection; counting is a second behind.
  await until("what was moved is counted", async () => {
    const [first, second] = await rows();
    return (first?.sum.egressBytes ?? 0) >= 3000 && (second?.sum.egressBytes ?? 0) >= 1000;
  });
  const [first, second, ...others] = await rows();
  assert.deepEqual(first?.dimensions, { customIdentifier: "tango", keyId: key.uid });
  assert.deepEqual(second?.dimensions, { customIdentifier: "foxtrot", keyId: key.uid });
  assert.deepEqual(others, []);
  assert.ok(first.sum.ingressBytes >= 3000 && first.avg.concurrentConnectionsFiveMinutes > 0);

  const one = await rowsOf(
    platform,
    "callsTurnUsageAdaptiveGroups",
    `customIdentifier: "tango"`,
    "orderBy: [datetimeFiveMinutes_ASC]",
    "dimensions { datetimeFiveMinutes } sum { egressBytes }",
  );
  const times = one.map((row) => (row.dimensions as { datetimeFiveMinutes: string }).datetimeFiveMinutes);
  assert.deepEqual(times, [...new Set(times)].sort());
  for (const time of times) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:[0-5][05]:00Z$/);
  const total = one.reduce((sum, row) => sum + (row.sum as { egressBytes: number }).egressBytes, 0);
  assert.equal(total, first.sum.egressBytes);
});

interface Usage {
  readonly dimensions: Record<string, string>;
  readonly sum: { readonly egressBytes: number; readonly ingressBytes: number };
  readonly avg: { readonly concurrentConnectionsFiveMinutes: number };
}

test("[realtime-26] ports 53, 80 and 443 are TURN's too where they are configured", {
  skip: noTurnutils || (usual ? false : "needs root, and that nothing else has these ports"),
}, async () => {
  const credential = await credentialOf();
  for (const end of ["53?transport=udp", "80?transport=tcp", "443?transport=tcp"])
    assert.ok(
      credential.urls.some((url) => url.endsWith(`:${end}`)),
      end,
    );
  const outputs = await Promise.all([
    uclient(53, credential),
    uclient(80, credential, "-t"),
    uclient(443, credential, "-t", "-S"),
    run("turnutils_stunclient", ["-p", "53", HOST]).then(({ stdout }) => stdout),
  ]);
  for (const output of outputs) assert.match(output, /tot_recv_msgs=10|reflexive/);
});

test("[realtime-23] a credential that is revoked or has expired is refused, also in the middle of its use", {
  skip: noTurnutils,
}, async () => {
  const credential = await credentialOf();
  const client = await openTurnClient(HOST, credential.udp, credential.username, credential.password);
  assert.equal((await client.request(ALLOCATE_METHOD, ALLOCATE)).code, 0);
  assert.equal((await client.request(PERMISSION, [["XOR-PEER-ADDRESS", [`${NETWORK}.2`, 9]]])).code, 0);
  client.send([`${NETWORK}.2`, echo.address().port], "before");
  await until("the peer's answer", () => client.received.some(({ payload }) => payload === "before"));

  assert.equal((await rtc(`${key.uid}/credentials/${credential.username}/revoke`, key.key)).status, 200);
  // Its allocation has ended with it.
  await until("the allocation's end", async () => (await client.request(REFRESH)).code !== 0);
  assert.equal((await client.request(ALLOCATE_METHOD, ALLOCATE)).code, 401);
  const refused = await uclient(credential.udp, credential).catch((error: { stdout: string }) => error.stdout);
  assert.match(refused, /Cannot complete Allocation/);
  client.close();

  const short = await credentialOf(undefined, 1);
  const late = await openTurnClient(HOST, short.udp, short.username, short.password);
  await until("the credential's expiry", async () => (await late.request(ALLOCATE_METHOD, ALLOCATE)).code === 401);
  late.close();
  const wrong = await openTurnClient(HOST, short.udp, credential.username, "guessed");
  assert.equal((await wrong.request(ALLOCATE_METHOD, ALLOCATE)).code, 401);
  wrong.close();
});

test("[realtime-27] TCP relays (RFC 6062) and IPv6 (RFC 6156) are refused, and so are peers in private networks", async () => {
  const { udp, username, password } = await credentialOf();
  const client = await openTurnClient(HOST, udp, username, password);
  const request = async (...asked: Parameters<typeof client.request>): Promise<number> => (await client.request(...asked)).code;
  assert.equal(await request(ALLOCATE_METHOD, [["REQUESTED-TRANSPORT", 0x06000000]]), 442);
  assert.equal(await request(ALLOCATE_METHOD, [...ALLOCATE, ["REQUESTED-ADDRESS-FAMILY", 0x02]]), 440);
  assert.equal(await request(ALLOCATE_METHOD, ALLOCATE), 0);
  assert.equal(await request(CONNECT, [["XOR-PEER-ADDRESS", [`${NETWORK}.2`, 9]]]), 403);
  assert.equal(await request(CONNECTION_BIND), 403);
  assert.equal(await request(PERMISSION, [["XOR-PEER-ADDRESS", ["2606:4700::1111", 9]]]), 443);
  for (const address of ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1"]) {
    assert.equal(await request(PERMISSION, [["XOR-PEER-ADDRESS", [address, 9]]]), 403, address);
    assert.equal(
      await request(CHANNEL_BIND, [
        ["CHANNEL-NUMBER", 0x4000],
        ["XOR-PEER-ADDRESS", [address, 9]],
      ]),
      403,
      address,
    );
  }

  // Without permission nothing reaches a peer that could have one, and the other way round.
  const peer = await peerAt(`${NETWORK}.3`);
  const heard: string[] = [];
  peer.on("message", (bytes) => heard.push(String(bytes)));
  client.send([`${NETWORK}.3`, peer.address().port], "without permission");
  assert.equal(await request(PERMISSION, [["XOR-PEER-ADDRESS", [`${NETWORK}.3`, 9]]]), 0);
  client.send([`${NETWORK}.3`, peer.address().port], "with permission");
  await until("the peer's answer", () => client.received.length > 0);
  assert.deepEqual(heard, ["with permission"]);
  peer.close();
  client.close();
});

test("[realtime-28] packets to a sixth new address within a second are dropped, and to known ones not", async () => {
  const { udp, username, password } = await credentialOf();
  // A machine that stops for a second in the middle of the six would let the last one through: then they are sent again.
  for (let attempt = 0; ; attempt++) {
    const client = await openTurnClient(HOST, udp, username, password);
    assert.equal((await client.request(ALLOCATE_METHOD, ALLOCATE)).code, 0);
    const peers = await Promise.all([10, 11, 12, 13, 14, 15].map((at) => peerAt(`${NETWORK}.${at}`)));
    for (const peer of peers) assert.equal((await client.request(PERMISSION, [["XOR-PEER-ADDRESS", [peer.address().address, 9]]])).code, 0);
    for (const peer of peers) client.send([peer.address().address, peer.address().port], "new");
    const [first, sixth] = [peers[0]!.address(), peers[5]!.address()];
    client.send([first.address, first.port], "known");
    await until("what was sent last", () => client.received.some(({ payload }) => payload === "known"));
    const from = client.received.filter(({ payload }) => payload === "new").map(({ peer }) => peer);
    const dropped = !from.includes(sixth.address);
    // In the next second it is not one too many.
    await until("the sixth, later", () => {
      client.send([sixth.address, sixth.port], "later");
      return client.received.some(({ payload }) => payload === "later");
    });
    for (const peer of peers) peer.close();
    client.close();
    if (dropped) {
      assert.deepEqual(
        from.sort(),
        [10, 11, 12, 13, 14].map((at) => `${NETWORK}.${at}`),
      );
      break;
    }
    assert.ok(attempt < 3, "the sixth address was never dropped");
  }
});
