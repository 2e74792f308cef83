/** Carries the DevTools protocol between a client's WebSocket and a session's browser, or one page of it; nothing passes unguarded. */
import type { WebSocket } from "ws";
import type { CdpClient } from "../browser.ts";
import type { Dialect } from "./dialect.ts";
import { guarded } from "./guard.ts";
import type { Session } from "./sessions.ts";

/** What may wait for a client that does not read. */
const BEHIND_MAX_BYTES = 256 * 1024 * 1024;
const POLICY_VIOLATION = 1008;

/** Resolves when both are connected. `done` is called once, when the connection has ended. */
export async function relay(
  session: Session,
  socket: WebSocket,
  dialect: Dialect,
  targetId: string | undefined,
  done: () => void,
): Promise<void> {
  let client: CdpClient | undefined;
  const reply = (json: Buffer): void => {
    for (const frame of dialect.encode(json)) socket.send(frame);
    if (socket.bufferedAmount > BEHIND_MAX_BYTES) socket.terminate();
  };

  function take(frame: Buffer, binary: boolean): void {
    let text: string | undefined;
    let checked: ReturnType<typeof guarded>;
    try {
      text = dialect.decode(frame, binary);
      if (text === undefined) return;
      checked = guarded(text);
    } catch {
      socket.close(POLICY_VIOLATION, "This is no message of the DevTools protocol");
      return;
    }
    session.touch();
    if ("refusal" in checked) reply(Buffer.from(checked.refusal));
    else if (checked.request.method !== "Browser.close") client?.send(checked.request);
    else void closeBrowser(checked.request.id);
  }

  /** Ends the browser from here; the client hears of it before its connection ends. */
  async function closeBrowser(id: number): Promise<void> {
    client?.close();
    await session.close("NormalClosure");
    reply(Buffer.from(JSON.stringify({ id, result: {} })));
    socket.close();
  }

  // Until there is a browser to send to.
  socket.pause();
  socket.on("message", take);
  socket.once("close", () => {
    client?.close();
    done();
  });
  // A broken connection is closed.
  socket.on("error", () => undefined);
  const connected = await session.browser.connect({ message: reply, closed: () => socket.close() }, targetId).catch(() => undefined);
  if (connected === undefined) socket.resume();
  if (connected === undefined) return socket.close(POLICY_VIOLATION, "There is no such page");
  if (socket.readyState !== socket.OPEN) return connected.close();
  client = connected;
  socket.resume();
}
