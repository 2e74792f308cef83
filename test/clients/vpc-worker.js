/** A Worker that fetches by the VPC binding and in the way that a test asks for, and tells what came of it. */
import { AwsClient } from "./aws4fetch.js";

const told = async (response) => ({
  status: response.status,
  servedBy: response.headers.get("x-served-by"),
  redirected: response.redirected,
  text: await response.text(),
});

/** What a test asks for as JSON: a fetch with these arguments. */
async function call(env, { binding, url, init }) {
  return told(await env[binding].fetch(url, init));
}

/** Sends a body piece by piece, each when the last has come back. */
async function conversation(env, { binding, pieces }) {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  const sent = writer.write(encoder.encode(pieces[0]));
  const response = await env[binding].fetch("http://service/echo", { method: "POST", body: readable });
  await sent;
  const reader = response.body.getReader();
  const heard = [];
  for (let i = 0; i < pieces.length; i++) {
    // Not awaited before the piece is read: what is on its way in between is bounded.
    const wrote = i > 0 && writer.write(encoder.encode(pieces[i]));
    let text = "";
    while (text.length < pieces[i].length) text += new TextDecoder().decode((await reader.read()).value);
    await wrote;
    heard.push(text);
  }
  await writer.close();
  return { heard, done: (await reader.read()).done };
}

/** Breaks off an answer that has no end, once it has begun. */
async function abort(env, { binding }) {
  const aborting = new AbortController();
  const response = await env[binding].fetch("http://service/endless", { method: "POST", body: "go", signal: aborting.signal });
  const reader = response.body.getReader();
  const first = new TextDecoder().decode((await reader.read()).value);
  aborting.abort();
  return {
    first,
    error: await reader.read().then(
      () => "none",
      (error) => error.name,
    ),
  };
}

async function signed(env, { binding, url, keys }) {
  const aws = new AwsClient({ ...keys, service: "s3", region: "auto" });
  return told(await env[binding].fetch(await aws.sign(url)));
}

async function connect(env, { binding, address }) {
  const socket = env[binding].connect(address);
  await socket.opened;
  return { opened: true };
}

const tasks = { call, conversation, abort, signed, connect };

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    // One Worker before two services.
    if (pathname.startsWith("/api/")) return env.API.fetch(new Request(`http://api.internal${pathname}`, request));
    if (pathname.startsWith("/wiki/")) return env.WIKI.fetch(new Request(`http://wiki.internal${pathname}`, request));
    const { task = "call", ...rest } = await request.json();
    try {
      return Response.json(await tasks[task](env, rest));
    } catch (error) {
      return Response.json({ error: `${error.name}: ${error.message}` });
    }
  },
};
