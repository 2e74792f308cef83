/**
 * A network that nothing reaches: a namespace of its own whose only interface is its loopback. The program in it
 * (`private-network-hosts.ts`) holds it open and plays its hosts; `run` starts more programs there. One way leads out of it, as
 * out of an office behind a firewall: two addresses inside are the platform's gateway, plain and TLS. It ends with the test.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { projectRoot, type TestPlatform } from "./platform.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** Why there can be no such network here, or false: for `test(…, { skip: noPrivateNetwork })`. */
export const noPrivateNetwork: string | false = reason();

function reason(): string | false {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "a network namespace needs root";
  if (spawnSync("ip", ["-V"]).status !== 0) return "the ip command is not installed (iproute2)";
  return spawnSync("unshare", ["--net", "ip", "link", "set", "lo", "up"]).status !== 0 && "network namespaces are not allowed here";
}

/** Where the platform's gateway is, seen from inside. */
export const PLATFORM_INSIDE = { plain: "http://127.0.0.1:7000", tls: "https://127.0.0.1:7443" } as const;

export interface PrivateNetwork {
  /** What the hosts inside have noticed, as lines; resolves with the next that fits, also one that has come already. */
  seen(pattern: RegExp): Promise<string>;
  /** All of them so far. */
  readonly lines: readonly string[];
  /** A line for the hosts: "close 8081". */
  tell(line: string): void;
  /** A program inside the network, ended with the test. */
  run(command: string, args: readonly string[]): ChildProcess;
  /** Ends the connections that lead out, as a network does that fails. */
  cut(): void;
}

type Hooks = { after(fn: () => Promise<void>): void };

/** `material`: PEM of the certificate and key that the hosts have for TLS. */
export async function openPrivateNetwork(
  t: Hooks,
  platform: TestPlatform,
  material: { readonly cert: string; readonly key: string },
): Promise<PrivateNetwork> {
  const directory = await temporaryDirectory("freehold-network-");
  const ways = new Set<Socket>();
  const wayOut = async (name: string, url: () => string): Promise<string> => {
    const path = join(directory, name);
    const server = createServer((inner) => {
      const outer = connect(Number(new URL(url()).port), "127.0.0.1");
      for (const [socket, other] of [
        [inner, outer],
        [outer, inner],
      ] as const) {
        ways.add(socket);
        socket.on("error", () => other.destroy());
        socket.once("close", () => {
          ways.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    server.listen(path);
    await once(server, "listening");
    t.after(async () => void server.close());
    return path;
  };
  const [plain, tls] = await Promise.all([wayOut("plain", () => platform.ready.gateway), wayOut("tls", () => platform.ready.gateway_tls)]);
  const hosts = spawn(
    "unshare",
    [
      "--net",
      "sh",
      "-c",
      'ip link set lo up && exec "$@"',
      "sh",
      process.execPath,
      join(projectRoot, "test/harness/private-network-hosts.ts"),
    ],
    { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, WAY_PLAIN: plain, WAY_TLS: tls, CERT: material.cert, KEY: material.key } },
  );
  const programs: ChildProcess[] = [hosts];
  t.after(async () => {
    for (const program of programs.toReversed()) {
      if (program.exitCode !== null || program.signalCode !== null) continue;
      const gone = once(program, "exit");
      program.kill();
      await gone;
    }
    for (const way of ways) way.destroy();
  });
  const lines: string[] = [];
  let wake = Promise.withResolvers<void>();
  let ended = false;
  const shown = createInterface({ input: hosts.stdout });
  shown.on("line", (line) => {
    lines.push(line);
    wake.resolve();
    wake = Promise.withResolvers();
  });
  shown.once("close", () => {
    ended = true;
    wake.resolve();
  });
  let at = 0;
  const network: PrivateNetwork = {
    lines,
    async seen(pattern) {
      for (;;) {
        const found = lines.findIndex((line, i) => i >= at && pattern.test(line));
        if (found >= 0) {
          at = found + 1;
          return lines[found] as string;
        }
        if (ended) throw new Error(`the private network has ended, ${pattern} unseen: ${lines.join("\n")}`);
        await wake.promise;
      }
    },
    tell: (line) => void hosts.stdin.write(`${line}\n`),
    run(command, args) {
      const inside = ["--target", String(hosts.pid), "--net", command, ...args];
      const program = spawn("nsenter", inside, { stdio: ["ignore", "pipe", "inherit"] });
      programs.push(program);
      return program;
    },
    cut() {
      for (const way of ways) way.destroy();
    },
  };
  await network.seen(/^ready$/);
  return network;
}
