/**
 * The thread of TURN: relayed media is its alone, so that it never makes the API wait. It asks the platform's thread for
 * credentials, tells it every second what was moved, and ends what it is told was revoked.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { BlockList } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../../kernel/clock.ts";
import { isPublicAddress } from "../../../kernel/public-network.ts";
import { openListeners } from "./listeners.ts";
import type { FromTurn, ToTurn, TurnCredential, TurnSettings } from "./turn-protocol.ts";
import { createTurnServer } from "./turn-server.ts";

const port = parentPort;
if (port === null) throw new Error("turn-thread.ts is a worker thread's program");
const settings = workerData as TurnSettings;
const tell = (message: FromTurn): void => port.postMessage(message);

const TICK_MS = 1000;
const ATTEMPTS = 50;
/** Questions to the platform's thread that may wait; past it credentials are refused. */
const ASKED_MAX = 10_000;
const KNOWN_MAX = 100_000;

const allowed = new BlockList();
for (const network of settings.peersAllowed) {
  const [address = "", bits] = network.split("/");
  allowed.addSubnet(address, Number(bits ?? 32), "ipv4");
}

/** Good credentials, the longest known first. */
const known = new Map<string, TurnCredential>();
const asked = new Map<number, (credential: TurnCredential | undefined) => void>();
let calls = 0;

async function credentialOf(username: string): Promise<TurnCredential | undefined> {
  const found = known.get(username);
  if (found !== undefined && found.expires > systemClock.now()) return found;
  known.delete(username);
  if (asked.size >= ASKED_MAX) return undefined;
  const call = calls++;
  return await new Promise((resolve) => {
    asked.set(call, resolve);
    tell({ type: "credential", call, username });
  });
}

async function bindRelay(at: number): Promise<Socket | undefined> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 1024 * 1024 });
  try {
    socket.bind(at, settings.relayHost);
    await once(socket, "listening");
    socket.on("error", () => undefined);
    return socket;
  } catch {
    socket.close();
    return undefined;
  }
}

const anyPort = (): number => {
  const [first, last] = settings.relayPorts ?? [0, 0];
  return first + Math.floor(Math.random() * (last - first + 1));
};

async function openRelay(even: boolean, pair: boolean): Promise<readonly [Socket, Socket?] | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const first = await bindRelay(anyPort());
    if (first === undefined) continue;
    const { port: bound } = first.address();
    if (!even) return [first];
    if (bound % 2 === 0) {
      if (!pair) return [first];
      const second = await bindRelay(bound + 1);
      if (second !== undefined) return [first, second];
    }
    first.close();
  }
  return undefined;
}

const server = createTurnServer({
  realm: settings.realm,
  limits: settings.limits,
  credential: credentialOf,
  openRelay,
  allowsPeer: (address) => isPublicAddress(address) || allowed.check(address, "ipv4"),
  now: () => systemClock.now(),
});

const listeners = await openListeners(settings, server, (error) => {
  throw error;
}).catch((error: Error) => {
  tell({ type: "failed", message: error.message });
  throw error;
});

function tellUsage(): void {
  const usage = server.takeUsage();
  if (usage.length > 0) tell({ type: "usage", usage });
}

const ticking = setInterval(() => {
  server.sweep();
  tellUsage();
}, TICK_MS);

port.on("message", async (message: ToTurn) => {
  switch (message.type) {
    case "credential": {
      const { call, credential } = message;
      if (credential !== undefined) {
        known.set(credential.username, credential);
        if (known.size > KNOWN_MAX) known.delete(known.keys().next().value as string);
      }
      asked.get(call)?.(credential);
      asked.delete(call);
      return;
    }
    case "revoke":
      for (const username of message.usernames) known.delete(username);
      server.revoke(new Set(message.usernames));
      return;
    case "stop":
      clearInterval(ticking);
      server.close();
      tellUsage();
      await listeners.close();
      tell({ type: "stopped" });
      port.close();
  }
});

tell({ type: "listening", ports: listeners.ports });
