/**
 * The first program in a build's sandbox: reads what to do from descriptor 4, opens the way to the platform's proxy on the
 * loopback interface, which belongs to the sandbox alone, and runs the script to its end. It is copied there and imports
 * nothing of the platform.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";

interface Settings {
  readonly script: string | { readonly collect: readonly string[] };
  readonly env: Readonly<Record<string, string>>;
  readonly proxy: boolean;
}

const SOCKET = "/opt/freehold/proxy.sock";
const COLLECT = "/opt/freehold/collect.mjs";
const { script, env, proxy } = JSON.parse(readFileSync(4, "utf8")) as Settings;

/** Passes connections on to the platform's proxy; gives its port. */
async function openProxy(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ path: SOCKET, allowHalfOpen: true });
    client.pipe(upstream).pipe(client);
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
  });
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as { port: number }).port;
}

async function run(text: string): Promise<void> {
  const way: Record<string, string> = {};
  if (proxy) {
    const url = `http://127.0.0.1:${await openProxy()}`;
    for (const name of ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]) way[name] = url;
    for (const name of ["no_proxy", "NO_PROXY"]) way[name] = "localhost,127.0.0.1,::1";
    way.NODE_USE_ENV_PROXY = "1";
  }
  const shell = ["/bin/bash", "/usr/bin/bash"].find(existsSync) ?? "/bin/sh";
  const child = spawn(shell, ["-c", text], { env: { ...way, ...env }, stdio: ["inherit", "inherit", "inherit"] });
  child.once("error", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(126);
  });
  child.once("exit", (code, signal) => process.exit(code ?? (signal === "SIGKILL" ? 137 : 143)));
}

if (typeof script === "string") await run(script);
else {
  process.argv.splice(2, Number.POSITIVE_INFINITY, ...script.collect);
  // In this process: it is the start of Node that a small build waits for.
  await import(COLLECT);
}
