/** Requests to AI Gateway over one WebSocket, with the client of the documentation's example. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import { startModelProvider } from "../../harness/model-provider.ts";
import { startModelServer } from "../../harness/model-server.ts";
import { startPlatform } from "../../harness/platform.ts";

const provider = await startModelProvider({ after });
const models = await startModelServer({ after });
/** A provider that speaks WebSocket. */
const stub = new WebSocketServer({ port: 0, host: "127.0.0.1" });
await once(stub, "listening");
after(() => void stub.close());
const config = {
  "ai_gateway.providers": [`openai=${provider.url}/v1`, `stub=http://127.0.0.1:${(stub.address() as AddressInfo).port}`],
  "workers_ai.models": [`@cf/*=${models.url}`],
};
const platform = await startPlatform({ after }, { config });
const account = platform.ready.account_id;
const settings = { cache_invalidate_on_update: false, cache_ttl: 0, collect_logs: true, rate_limiting_interval: 0, rate_limiting_limit: 0 };
await platform.rest("POST", `/accounts/${account}/ai-gateway/gateways`, { id: "sockets", ...settings, authentication: true });
const url = `${platform.host("ai_gateway", { gateway: "sockets" }).replace(/^http/, "ws")}/`;
const run = await platform.token(["AI Gateway Run"]);
const asRunner = { headers: { "cf-aig-authorization": `Bearer ${run.value}` } };

interface Event {
  readonly type: string;
  readonly metadata: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: answers of models have many shapes
  readonly response: any;
}

/** The socket's events, and a wait for as many as are asked for. */
async function opened(socket: WebSocket) {
  const events: Event[] = [];
  let arrived = Promise.withResolvers<void>();
  socket.on("message", (data) => {
    events.push(JSON.parse(data.toString()));
    arrived.resolve();
    arrived = Promise.withResolvers();
  });
  await once(socket, "open");
  return {
    events,
    send: (request: object) => socket.send(JSON.stringify({ type: "universal.create", request })),
    async until(enough: (events: readonly Event[]) => boolean): Promise<void> {
      while (!enough(events)) await arrived.promise;
    },
  };
}

const chat = (eventId: string, more: object = {}) => ({
  eventId,
  provider: "openai",
  endpoint: "chat/completions",
  headers: { authorization: "Bearer sk-own" },
  query: { model: "gpt-4o", messages: [{ role: "user", content: eventId }], ...more },
});

test("[ai-gateway-29] requests of one socket are answered side by side, streams piece by piece, each under its event's id", async () => {
  const socket = platform.webSocket(url, [], asRunner);
  const { events, send, until } = await opened(socket);
  send(chat("whole"));
  await until((all) => all.length === 1);
  const [{ type, metadata, response } = {} as Event] = events;
  assert.deepEqual(
    [type, metadata.eventId, metadata.step, metadata.contentType, metadata.cacheStatus],
    ["universal.created", "whole", "0", "application/json", "MISS"],
  );
  assert.equal(response.choices[0].message.content, "echo whole");
  const { result: log } = (await platform.rest("GET", `/accounts/${account}/ai-gateway/gateways/sockets/logs/${metadata.logId}`)).body;
  assert.deepEqual([log.provider, log.success], ["openai", true]);
  assert.equal(provider.seen.at(-1)?.headers.authorization, "Bearer sk-own");
  // Both streams have begun before either ends: the provider waits in between.
  events.length = 0;
  const waiting = provider.streaming;
  send(chat("one", { stream: true }));
  send(chat("two", { stream: true }));
  const of = (id: string): Event[] => events.filter((event) => event.metadata.eventId === id);
  await until(() => ["one", "two"].every((id) => of(id).some((event) => event.type === "universal.stream")));
  assert.ok(events.every((event) => event.type !== "universal.done"));
  waiting.release();
  await until((all) => all.filter((event) => event.type === "universal.done").length === 2);
  for (const id of ["one", "two"]) {
    const own = of(id);
    assert.deepEqual(
      own.map((event) => event.type),
      ["universal.created", "universal.stream", "universal.stream", "universal.done"],
    );
    const [begun, first, second, done] = own as [Event, Event, Event, Event];
    assert.equal(begun.metadata.contentType, "text/event-stream");
    assert.deepEqual(done.metadata, begun.metadata);
    assert.deepEqual(
      [first, second].map((event) => event.response.choices[0].delta.content),
      ["first ", `echo ${id}`],
    );
    assert.deepEqual(first.metadata, { eventId: id });
  }
  // The documentation's example, and requests that are none.
  events.length = 0;
  send({
    eventId: "my-request",
    provider: "workers-ai",
    endpoint: "@cf/meta/llama-3.1-8b-instruct",
    headers: {},
    query: { prompt: "tell me a joke" },
  });
  await until((all) => all.length === 1);
  assert.deepEqual(
    [events[0]?.metadata.eventId, events[0]?.response.result.response, events[0]?.response.success],
    ["my-request", "echo tell me a joke", true],
  );
  socket.send("no JSON");
  send({ eventId: "nobody", provider: "nobody", endpoint: "x", headers: {}, query: {} });
  await until((all) => all.length === 3);
  assert.deepEqual(
    events
      .slice(1)
      .map((event) => [event.type, event.metadata.eventId, event.response.errors[0].code])
      .toSorted(),
    [
      ["error", "", 2100],
      ["error", "nobody", 2008],
    ],
  );
  // A token that is revoked opens no further request.
  assert.equal((await platform.rest("DELETE", `/accounts/${account}/tokens/${run.id}`)).status, 200);
  send(chat("late"));
  await until((all) => all.length === 4);
  assert.deepEqual([events[3]?.metadata.eventId, events[3]?.response.errors[0].code], ["late", 2009]);
  socket.close();
});

test("a browser's socket brings its token as a protocol; without AI Gateway Run there is none, whatever the gateway asks for", async () => {
  const browser = await platform.token(["AI Gateway Run"]);
  const socket = platform.webSocket(url, [`cf-aig-authorization.${browser.value}`]);
  const { events, send, until } = await opened(socket);
  send(chat("from a browser"));
  await until((all) => all.length === 1);
  assert.equal(events[0]?.response.choices[0].message.content, "echo from a browser");
  socket.close();
  await platform.rest("POST", `/accounts/${account}/ai-gateway/gateways`, { id: "open", ...settings });
  const weak = await platform.token(["AI Gateway Read"]);
  // The name of a custom provider leads to this machine.
  const inside = { name: "inside", slug: "inside", base_url: "https://localhost:9", enable: true };
  assert.equal((await platform.rest("POST", `/accounts/${account}/ai-gateway/custom-providers`, inside)).status, 200);
  const refusals: [string, string[], object][] = [
    [url, [], {}],
    [url, ["cf-aig-authorization.nothing"], {}],
    [url.replace("sockets", "open"), [], {}],
    [url, [], { headers: { "cf-aig-authorization": `Bearer ${weak.value}` } }],
    [url.replace("sockets", "nowhere"), [`cf-aig-authorization.${browser.value}`], {}],
    [`${url}openai`, [], {}],
    [`${url}nobody`, [`cf-aig-authorization.${browser.value}`], {}],
    [`${url}openai/../../up`, [`cf-aig-authorization.${browser.value}`], {}],
    [`${url}custom-inside/x`, [`cf-aig-authorization.${browser.value}`], {}],
  ];
  const statuses: unknown[] = [];
  for (const [to, protocols, options] of refusals) {
    const refused = platform.webSocket(to, protocols, options);
    refused.on("error", () => undefined);
    const [, response] = await once(refused, "unexpected-response");
    statuses.push(response.statusCode);
    refused.terminate();
  }
  assert.deepEqual(statuses, [401, 401, 401, 401, 400, 401, 400, 400, 403]);
});

test("[ai-gateway-30] frames go both ways between a client and a provider's own socket, as text and as bytes, until one side ends", async () => {
  const browser = await platform.token(["AI Gateway Run"]);
  const opening = once(stub, "connection") as Promise<[WebSocket, IncomingMessage]>;
  const protocols = ["realtime", `cf-aig-authorization.${browser.value}`];
  const client = platform.webSocket(`${url}stub/v1/realtime?model=gpt-4o-realtime`, protocols, {
    headers: { authorization: "Bearer sk-own" },
  });
  const [theirs, request] = await opening;
  await once(client, "open");
  assert.equal(request.url, "/v1/realtime?model=gpt-4o-realtime");
  assert.deepEqual([request.headers.authorization, request.headers["sec-websocket-protocol"]], ["Bearer sk-own", "realtime"]);
  assert.equal(request.headers["cf-aig-authorization"], undefined);
  for (const [from, to] of [
    [client, theirs],
    [theirs, client],
  ] as const)
    for (const sent of ['{"type":"response.create"}', Buffer.alloc(200_000, 7)]) {
      const heard = once(to, "message");
      from.send(sent);
      const [data, binary] = await heard;
      assert.deepEqual([Buffer.from(data).equals(Buffer.from(sent)), binary], [true, typeof sent !== "string"]);
    }
  const ended = once(client, "close");
  theirs.close(4001, "enough");
  const [code, reason] = await ended;
  assert.deepEqual([code, String(reason)], [4001, "enough"]);
  const again = once(stub, "connection") as Promise<[WebSocket]>;
  const second = platform.webSocket(`${url}stub/x`, [`cf-aig-authorization.${browser.value}`]);
  const [other] = await again;
  await once(second, "open");
  const gone = once(other, "close");
  second.close();
  await gone;
});
