/** A DNS server with the records that a test gives it. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import dnsPacket, { type Answer, type StringAnswer } from "dns-packet";

type Hooks = { after(fn: () => Promise<void>): void };

export interface Records {
  /** Servers of a domain. */
  readonly MX?: readonly string[];
  readonly A?: readonly string[];
  readonly AAAA?: readonly string[];
  readonly TXT?: readonly string[];
  readonly CNAME?: readonly string[];
}

/** A DNS server whose records are those of the map, which may change at any time. */
export async function dnsServer(t: Hooks, records: Map<string, Records>): Promise<string> {
  const socket = createSocket("udp4");
  socket.on("message", (message, from) => {
    const query = dnsPacket.decode(message);
    const [question] = query.questions ?? [];
    if (question === undefined) return;
    const { name, type } = question;
    const known = records.get(name.toLowerCase());
    const values = known?.[type as keyof Records] ?? [];
    const answers = values.map((value): Answer => {
      if (type === "MX") return { type, name, ttl: 0, data: { preference: 10, exchange: value } };
      if (type === "TXT") return { type, name, ttl: 0, data: value.match(/.{1,255}/g) as string[] };
      return { type, name, ttl: 0, data: value } as StringAnswer;
    });
    const flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | (known === undefined ? 3 : 0);
    socket.send(dnsPacket.encode({ type: "response", id: query.id ?? 0, flags, questions: [question], answers }), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  t.after(async () => void socket.close());
  return `127.0.0.1:${socket.address().port}`;
}
