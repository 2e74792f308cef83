/** What the tests of Stream share: a platform that encodes fast, waiting for videos, and players' requests. */
import assert from "node:assert/strict";
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import type Cloudflare from "cloudflare";
import { FormData } from "undici";
import { ffprobe, type ProbedStream } from "../harness/ffmpeg.ts";
import { startPlatform, type TestPlatform } from "../harness/platform.ts";

export const startStream = (
  hooks: Parameters<typeof startPlatform>[0],
  config: Readonly<Record<string, unknown>> = {},
): Promise<TestPlatform> => startPlatform(hooks, { config: { "stream.preset": "ultrafast", "stream.private_addresses": true, ...config } });

export type Video = Cloudflare.Stream.Video & { uid: string };

/** The video as soon as it is `ready`, or in `error`. Asks again and again: the API tells of states, not of their changes. */
export async function settled(platform: TestPlatform, uid: string, seen: (video: Video) => void = () => undefined): Promise<Video> {
  const account_id = platform.ready.account_id;
  const deadline = Date.now() + 120_000;
  for (;;) {
    const video = (await platform.sdk().stream.get(uid, { account_id })) as Video;
    seen(video);
    if (video.status?.state === "ready" || video.status?.state === "error") return video;
    assert.ok(Date.now() < deadline, `the video is still in ${JSON.stringify(video.status)}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** A form with a file under `file`. */
export async function formWith(path: string, fields: Readonly<Record<string, string>> = {}, type = "video/mp4"): Promise<FormData> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set("file", new Blob([new Uint8Array(await readFile(path))], { type }), basename(path));
  return form;
}

/** Uploads with the API's token, as curl does: the SDK's `create` is for tus alone. */
export async function upload(platform: TestPlatform, path: string, headers: Readonly<Record<string, string>> = {}) {
  const { api, account_id, api_token } = platform.ready;
  const response = await platform.fetch(`${api}/accounts/${account_id}/stream`, {
    method: "POST",
    headers: { authorization: `Bearer ${api_token}`, ...headers },
    body: await formWith(path),
  });
  const body = (await response.json()) as { success: boolean; errors: { code: number; message: string }[]; result: Video };
  return { status: response.status, body };
}

/** Streams that ffprobe finds behind a URL of the platform, whose name it is told by a header since it resolves none. */
export function probeUrl(
  platform: TestPlatform,
  url: string,
  ...args: string[]
): Promise<{ streams: ProbedStream[]; format: { duration?: string; format_name: string } }> {
  const { host, pathname, search } = new URL(url);
  return ffprobe(`${platform.ready.gateway}${pathname}${search}`, "-headers", `Host: ${host}\r\n`, ...args);
}

export interface Heard {
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** A server on this machine: serves files by name, and keeps what is posted to it. */
export async function openWorld(
  hooks: { after(fn: () => Promise<void>): void },
  files: Readonly<Record<string, { body: Buffer; type: string; status?: number }>> = {},
) {
  const heard: Heard[] = [];
  const waiting: (() => void)[] = [];
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (request.method === "POST") {
        heard.push({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
        for (const wake of waiting.splice(0)) wake();
        return void response.writeHead(200).end();
      }
      const file = files[(request.url as string).slice(1)];
      if (file === undefined) return void response.writeHead(404).end();
      response.writeHead(file.status ?? 200, { "content-type": file.type, "content-length": file.body.byteLength }).end(file.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  hooks.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    /** The first post that fits, as soon as it has come. */
    async post(fits: (heard: Heard) => boolean): Promise<Heard> {
      for (;;) {
        const found = heard.find(fits);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

/** Whether a webhook's signature is right, as its receiver works it out. */
export function signedBy(secret: string, { headers, body }: Heard): boolean {
  const [, time, signature = ""] = /^time=(\d+),sig1=([0-9a-f]{64})$/.exec(String(headers["webhook-signature"])) ?? [];
  const right = createHmac("sha256", secret).update(`${time}.${body}`).digest();
  return timingSafeEqual(right, Buffer.from(signature, "hex"));
}
