/**
 * Keeps containers without the Internet from the machine's own addresses. An engine's closed network has no way out, but
 * the machine has an address in it, by which containers reach whatever listens on all of them. A rule of the packet filter
 * takes no connections that come from the network's interface; answers to the platform's own pass.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Log } from "../../kernel/log.ts";

const run = promisify(execFile);

/** Makes sure of the rule. Where the platform may not set one, the log says what is not kept. */
export async function closeInterface(name: string, log: Log): Promise<void> {
  for (const command of ["iptables", "ip6tables"]) {
    const rule = ["INPUT", "-i", name, "-m", "conntrack", "--ctstate", "NEW,INVALID", "-j", "DROP"];
    const isThere = await run(command, ["-w", "-C", ...rule]).then(
      () => true,
      () => false,
    );
    if (isThere) continue;
    try {
      await run(command, ["-w", "-I", ...rule]);
    } catch (error) {
      const lost = "containers without the Internet reach services on this machine's own addresses";
      log.warn("containers.interface_open", { interface: name, command, lost, error: String(error) });
    }
  }
}

/** Takes the rule back, when its network is gone. */
export async function forgetInterface(name: string): Promise<void> {
  for (const command of ["iptables", "ip6tables"])
    await run(command, ["-w", "-D", "INPUT", "-i", name, "-m", "conntrack", "--ctstate", "NEW,INVALID", "-j", "DROP"]).catch(
      () => undefined,
    );
}
