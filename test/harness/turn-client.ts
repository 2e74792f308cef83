/**
 * TURN requests over UDP that no ready-made client sends: written with werift's messages of STUN, one at a time. The
 * clients that prove TURN are coturn's and Chromium; this one asks for what they never would.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { Message, makeIntegrityKey, type methods, parseMessage } from "werift";

export const CLASS_REQUEST = 0x000;
export const CLASS_INDICATION = 0x010;

export type Attributes = readonly (readonly [name: Parameters<Message["setAttribute"]>[0], value: unknown])[];

export interface TurnAnswer {
  /** 0 for success, or the error's code. */
  readonly code: number;
  readonly get: Message["getAttributeValue"];
}

export interface TurnClient {
  /** A request, answered to its challenge with the credential. */
  request(method: number, attributes?: Attributes): Promise<TurnAnswer>;
  /** A Send indication. */
  send(peer: readonly [string, number], payload: string): void;
  /** Payloads that came by Data indications, with the peer's address. */
  readonly received: { readonly peer: string; readonly payload: string }[];
  close(): void;
}

const ANSWER_MS = 10_000;
const UDP = 0x11000000;
export const ALLOCATE: Attributes = [["REQUESTED-TRANSPORT", UDP]];

export async function openTurnClient(host: string, port: number, username: string, password: string): Promise<TurnClient> {
  const socket = createSocket("udp4").unref();
  socket.connect(port, host);
  await once(socket, "connect");
  const waiting = new Map<string, (answer: Message) => void>();
  const received: { peer: string; payload: string }[] = [];
  let challenge: { readonly realm: string; readonly nonce: Buffer } | undefined;
  socket.on("message", (bytes) => {
    const message = parseMessage(bytes);
    if (message === undefined) return;
    if ((message.messageClass as number) === CLASS_INDICATION)
      received.push({ peer: message.getAttributeValue("XOR-PEER-ADDRESS")[0], payload: String(message.getAttributeValue("DATA")) });
    else waiting.get(message.transactionIdHex)?.(message);
  });

  function ask(method: number, attributes: Attributes): Promise<Message> {
    const message = new Message(method as methods, CLASS_REQUEST as never);
    for (const [name, value] of attributes) message.setAttribute(name, value);
    if (challenge !== undefined) {
      const { realm, nonce } = challenge;
      message.setAttribute("USERNAME", username).setAttribute("REALM", realm).setAttribute("NONCE", nonce);
      message.addMessageIntegrity(makeIntegrityKey(username, realm, password));
    }
    message.addFingerprint();
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer to method ${method}`)), ANSWER_MS);
      // A datagram may be lost, as anywhere.
      const again = setInterval(() => socket.send(message.bytes), 500);
      waiting.set(message.transactionIdHex, (answer) => {
        clearTimeout(late);
        clearInterval(again);
        resolve(answer);
      });
      socket.send(message.bytes);
    });
  }

  const codeOf = (answer: Message): number => answer.getAttributeValue("ERROR-CODE")?.[0] ?? 0;

  return {
    received,
    async request(method, attributes = []) {
      let answer = await ask(method, attributes);
      if (challenge === undefined && codeOf(answer) === 401) {
        challenge = { realm: answer.getAttributeValue("REALM"), nonce: answer.getAttributeValue("NONCE") };
        answer = await ask(method, attributes);
      }
      const last = answer;
      return { code: codeOf(last), get: (name) => last.getAttributeValue(name) };
    },
    send(peer, payload) {
      const message = new Message(0x006 as methods, CLASS_INDICATION as never);
      message.setAttribute("XOR-PEER-ADDRESS", peer).setAttribute("DATA", Buffer.from(payload));
      socket.send(message.bytes);
    },
    close: () => socket.close(),
  };
}
