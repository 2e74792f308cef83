/** The thread of the SFU: media is its alone, so that it never makes the API wait. Calls of the API are answered one by one. */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../../kernel/clock.ts";
import { RtcError } from "../errors.ts";
import { createCertificate } from "./certificate.ts";
import { openIceSocket } from "./ice-lite.ts";
import { Sfu } from "./sfu.ts";
import type { FromSfu, SfuCall, SfuSettings, ToSfu } from "./sfu-protocol.ts";

const port = parentPort;
if (port === null) throw new Error("sfu-thread.ts is a worker thread's program");
const settings = workerData as SfuSettings;
const tell = (message: FromSfu): void => port.postMessage(message);

const LOST_EVERY_MS = 20;
const TICK_MS = 1000;

const now = (): number => systemClock.now();
const socket = await openIceSocket(settings.host, settings.port, settings.addresses, now).catch((error: Error) => {
  tell({ type: "failed", message: error.message });
  throw error;
});
const sfu = new Sfu(socket, createCertificate(now()), settings, now);

async function answer({ call, app, session, operation, body }: SfuCall): Promise<void> {
  try {
    tell({ type: "answer", call, body: await sfu.handle(app, session, operation, body) });
  } catch (error) {
    if (error instanceof RtcError)
      tell({ type: "refusal", call, failure: { status: error.status, code: error.code, description: error.message } });
    else tell({ type: "fault", call, error });
  }
}

// Werift answers clients in promises of its own, which nobody else holds: what one client makes it throw must not end the
// sessions of all.
process.on("unhandledRejection", (error) => tell({ type: "mishap", error }));

const asking = setInterval(() => sfu.askLost(), LOST_EVERY_MS);
const ticking = setInterval(() => sfu.tick(), TICK_MS);

port.on("message", async (message: ToSfu) => {
  if (message.type === "call") await answer(message);
  else if (message.type === "closeApp") sfu.closeApp(message.app);
  else {
    clearInterval(asking);
    clearInterval(ticking);
    await sfu.close();
    tell({ type: "stopped" });
    port.close();
  }
});

tell({ type: "listening", candidates: socket.candidates });
