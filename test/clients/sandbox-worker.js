/** Hands what a test asks for to the package: one route for each way in which a Worker uses it. */
import { getSandbox, parseSSEStream, proxyToSandbox, Sandbox } from "@cloudflare/sandbox";

export { Sandbox };
/** In an image that is not ours. */
export class Elsewhere extends Sandbox {}

const failure = (error) => ({ error: { name: error.name, message: error.message, code: error.code ?? error.errorResponse?.code } });

/** Events of a stream as lines, as they come. */
function lines(events) {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  const pump = async () => {
    try {
      for await (const event of events) await writer.write(encoder.encode(`${JSON.stringify(event)}\n`));
      await writer.close();
    } catch (error) {
      await writer.write(encoder.encode(`${JSON.stringify(failure(error))}\n`)).catch(() => undefined);
      await writer.abort(error);
    }
  };
  void pump();
  return new Response(readable);
}

const routes = {
  // As the minimal template has it.
  async run(_request, { sandbox }) {
    const result = await sandbox.exec('python3 -c "print(2 + 2)"');
    return Response.json({ output: result.stdout, error: result.stderr, exitCode: result.exitCode, success: result.success });
  },
  /** Any method of the sandbox, or of one of its sessions. */
  async call(request, { sandbox, session }) {
    const { method, args = [] } = await request.json();
    const target = session === null ? sandbox : await sandbox.getSession(session);
    const result = await target[method](...args);
    return Response.json({ result: result ?? null });
  },
  async session(request, { sandbox }) {
    const { id } = await sandbox.createSession(await request.json());
    return Response.json({ result: id });
  },
  /** A method that answers with Server-Sent Events. */
  async events(request, { sandbox }) {
    const { method, args } = await request.json();
    return lines(parseSSEStream(await sandbox[method](...args)));
  },
  /** `exec` with a callback for what is printed. */
  async output(request, { sandbox }) {
    const { command, options } = await request.json();
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const tell = (value) => writer.write(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
    const onOutput = (stream, data) => void tell({ stream, data });
    sandbox
      .exec(command, { ...options, stream: true, onOutput })
      .then(
        ({ stdout, exitCode }) => tell({ stdout, exitCode }),
        (error) => tell(failure(error)),
      )
      .finally(() => writer.close());
    return new Response(readable);
  },
  /** A process, and then methods of it. */
  async process(request, { sandbox }) {
    const { command, options, id, steps = [] } = await request.json();
    const process = id === undefined ? await sandbox.startProcess(command, options) : await sandbox.getProcess(id);
    const results = [];
    for (const { method, pattern, args = [] } of steps) {
      try {
        results.push((await process[method](...(pattern === undefined ? args : [new RegExp(pattern), ...args]))) ?? null);
      } catch (error) {
        results.push(failure(error));
      }
    }
    return Response.json({ result: { id: process.id, pid: process.pid, status: process.status }, results });
  },
  async code(request, { sandbox }) {
    const { code, options } = await request.json();
    const told = [];
    const tell = (kind) => (value) => void told.push(kind === "result" ? { kind, formats: value.formats() } : { kind, ...value });
    const callbacks = { onStdout: tell("stdout"), onStderr: tell("stderr"), onResult: tell("result"), onError: tell("error") };
    return Response.json({ result: await sandbox.runCode(code, { ...options, ...callbacks }), told });
  },
  /** Many commands in one request. */
  async many(request, { sandbox }) {
    const count = Number(new URL(request.url).searchParams.get("count"));
    let sum = 0;
    for (let done = 0; done < count; done += 20) {
      const results = await Promise.all(Array.from({ length: 20 }, (_, index) => sandbox.exec(`echo ${done + index}`)));
      sum += results.reduce((total, { stdout }) => total + Number(stdout), 0);
    }
    return Response.json({ result: sum });
  },
  terminal(request, { sandbox }) {
    const { searchParams } = new URL(request.url);
    return sandbox.terminal(request, { cols: Number(searchParams.get("cols") ?? 80), rows: Number(searchParams.get("rows") ?? 24) });
  },
  socket(request, { sandbox }) {
    return sandbox.wsConnect(request, Number(new URL(request.url).searchParams.get("port")));
  },
  /** The runtime itself, for what the package does not send. */
  async runtime(request, { sandbox }) {
    const { path, body } = await request.json();
    return sandbox.containerFetch(`http://container${path}`, { method: "POST", body: JSON.stringify(body) }, 3000);
  },
  /** Of the container, which it does not wake. */
  async state(_request, { sandbox }) {
    return Response.json(await sandbox.getState());
  },
  async bucket(request, { env }) {
    const key = new URL(request.url).searchParams.get("key");
    const object = await env.BACKUP_BUCKET.get(key);
    return object ? new Response(object.body) : new Response("none", { status: 404 });
  },
};

export default {
  async fetch(request, env) {
    const proxied = await proxyToSandbox(request, env);
    if (proxied) return proxied;
    const { pathname, searchParams } = new URL(request.url);
    const route = routes[pathname.slice(1)];
    if (!route) return new Response("no such route", { status: 404 });
    try {
      const options = JSON.parse(searchParams.get("options") ?? "{}");
      const sandbox = getSandbox(env[searchParams.get("class") ?? "Sandbox"], searchParams.get("id") ?? "my-sandbox", options);
      return await route(request, { env, sandbox, session: searchParams.get("session") });
    } catch (error) {
      return Response.json(failure(error), { status: 500 });
    }
  },
};
