/** A start of the platform that is killed before it can serve. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { launcher, type TestPlatform } from "../harness/platform.ts";

/** For a platform that was killed: starts it on the same data and port and kills it again after that time. */
export async function killedAtStart(platform: TestPlatform, afterMs: number): Promise<void> {
  const args = [launcher, "up", "--data", platform.dir, "--port", new URL(platform.ready.gateway).port];
  const child = spawn(process.execPath, args, { stdio: "ignore" });
  const gone = once(child, "exit");
  await sleep(afterMs);
  child.kill("SIGKILL");
  await gone;
}
