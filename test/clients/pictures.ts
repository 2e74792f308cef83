/** Small pictures for tests of images, and what is seen in a file. */
import { once } from "node:events";
import http from "node:http";
import { buffer } from "node:stream/consumers";
import { crc32 } from "node:zlib";
import sharp, { type Color } from "sharp";
import type { TestPlatform } from "../harness/platform.ts";

export const plain = (width: number, height: number, background: Color) => sharp({ create: { width, height, channels: 4, background } });

/** Red on the left, blue on the right: PNG without an alpha channel. */
export async function halves(width: number, height: number): Promise<Buffer> {
  const input = await plain(width / 2, height, "blue")
    .png()
    .toBuffer();
  return plain(width, height, "red")
    .composite([{ input, left: width / 2, top: 0 }])
    .removeAlpha()
    .png()
    .toBuffer();
}

/** Colours in this order, each a frame that stays for so many milliseconds. */
export async function animation(
  format: "gif" | "webp",
  width: number,
  height: number,
  colours: readonly Color[],
  delay = 100,
): Promise<Buffer> {
  const frames = await Promise.all(colours.map((colour) => plain(width, height, colour).raw().toBuffer()));
  const raw = { width, height: height * colours.length, channels: 4, pageHeight: height } as const;
  return sharp(Buffer.concat(frames), { raw })
    [format]({ delay: colours.map(() => delay), loop: 0 })
    .toBuffer();
}

export interface Seen {
  /** Of one frame. */
  readonly size: readonly number[];
  readonly format: string | undefined;
  readonly frames: number;
  /** Red, green, blue, each to the nearest quarter, so that compression does not show. */
  at(x: number, y: number): number[];
  /** The pixel as it is, with its opacity. */
  pixel(x: number, y: number): number[];
  /** Mean of red, green and blue. */
  readonly mean: number;
  /** How much the pixels differ from each other. */
  readonly deviation: number;
}

/** What is in a file's first frame. */
export async function seen(bytes: Buffer): Promise<Seen> {
  const { format, pages = 1 } = await sharp(bytes).metadata();
  const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  const pixel = (x: number, y: number): number[] => [...data.subarray((y * info.width + x) * 4, (y * info.width + x) * 4 + 4)];
  const channels = (await sharp(bytes).stats()).channels.slice(0, 3);
  const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    size: [info.width, info.height],
    format,
    frames: pages,
    pixel,
    at: (x, y) =>
      pixel(x, y)
        .slice(0, 3)
        .map((value) => Math.round(value / 64)),
    mean: average(channels.map((channel) => channel.mean)),
    deviation: average(channels.map((channel) => channel.stdev)),
  };
}

export const RED = [4, 0, 0];
export const BLUE = [0, 0, 4];
export const WHITE = [4, 4, 4];

/** A request to a host name that this machine's resolver does not know, as its headers say. Redirects are not followed. */
export async function atHost(platform: TestPlatform, host: string, path: string, headers: Record<string, string> = {}) {
  const { hostname, port } = new URL(platform.ready.gateway);
  const request = http.request({ host: hostname, port, path, headers: { host: `${host}:${port}`, ...headers } });
  request.end();
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  return { status: response.statusCode, headers: response.headers, bytes: await buffer(response) };
}

/** A PNG whose head says that it is so large; nothing that large is in it. */
export async function saysItIs(width: number, height: number): Promise<Buffer> {
  const png = await plain(1, 1, "red").png().toBuffer();
  png.writeUInt32BE(width, 16);
  png.writeUInt32BE(height, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  return png;
}

/** An animated GIF of so many frames, each a single pixel on a screen of that size. */
export function sparseAnimation(width: number, height: number, frames: number): Buffer {
  const head = Buffer.from("GIF89a\0\0\0\0\x80\0\0\xff\0\0\0\0\xff", "latin1");
  head.writeUInt16LE(width, 6);
  head.writeUInt16LE(height, 8);
  const frame = Buffer.from("!\xf9\x04\0\x0a\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0", "latin1");
  return Buffer.concat([head, ...Array.from({ length: frames }, () => frame), Buffer.from(";")]);
}

/** A HEIC file as an iPhone held upright makes it: 64 by 96 pixels, red above blue. Made by libheif's own encoder. */
export const phonePicture = Buffer.from(
  [
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAaFtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA",
    "AAAERAAAIAAQAAAAABxQABAAAAAAAAAG8AAgAAAAACNAABAAAAAAAAAEIAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp",
    "bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA4GlwcnAAAADAaXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE",
    "ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAi",
    "QAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBwaXhpAAAAAAMICAgAAAAJaXJvdAMAAAAYaXBtYQAAAAAAAAABAA",
    "EFgQIDBIUAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAALltZGF0AAAAaygBrwng40ibUR///ei+//9uY9D/WtWB5k8//vGaK/w87j/2S02E",
    "y4fJZOV/OjuvTe0nzRSwog/J8Q6wmjufKTh5V2knc1aPLM2m9Z3kreVIqdWJ2HL1t7GsOSpPpq+sn/OxgSVkFu3pm5VPAAAABkV4aWYAAE1NAC",
    "oAAAAIAAIBEgADAAAAAQAGAACCmAACAAAAEgAAACYAAAAAVGhlIHBob25lJ3Mgb3duZXIA",
  ].join(""),
  "base64",
);
