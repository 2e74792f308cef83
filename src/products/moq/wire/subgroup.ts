/**
 * Streams of a subgroup's objects (draft 07, section 7.3.1), with or without the Subscribe ID that the real service's header
 * has and the draft's has not.
 */
import type { StreamReader } from "./stream-reader.ts";
import { ByteWriter, ProtocolViolation } from "./varint.ts";

export const STREAM_HEADER_SUBGROUP = 0x4;

export interface SubgroupHeader {
  /** undefined: the header has none, as in the draft. */
  readonly subscribeId: number | undefined;
  readonly alias: number;
  readonly group: number;
  readonly subgroup: number;
  readonly priority: number;
}

export interface MediaObject {
  readonly id: number;
  readonly payload: Buffer;
  /** Of an object without payload: 0 normal, 1 does not exist, 3 end of group, 4 end of track, 5 end of subgroup. */
  readonly status: number;
}

export async function readHeader(reader: StreamReader, withSubscribeId: boolean): Promise<SubgroupHeader> {
  const type = await reader.varint();
  if (type !== STREAM_HEADER_SUBGROUP) throw new ProtocolViolation(`streams of type ${type} are not spoken here`);
  return {
    subscribeId: withSubscribeId ? await reader.varint() : undefined,
    alias: await reader.varint(),
    group: await reader.varint(),
    subgroup: await reader.varint(),
    priority: await reader.byte(),
  };
}

export function encodeHeader({ subscribeId, alias, group, subgroup, priority }: SubgroupHeader): Buffer {
  const writer = new ByteWriter().varint(STREAM_HEADER_SUBGROUP);
  if (subscribeId !== undefined) writer.varint(subscribeId);
  return writer.varint(alias).varint(group).varint(subgroup).byte(priority).finish();
}

/** The next object, or undefined at the stream's end. */
export async function readObject(reader: StreamReader, maxBytes: number): Promise<MediaObject | undefined> {
  if (await reader.atEnd()) return undefined;
  const id = await reader.varint();
  const length = await reader.varint();
  if (length > maxBytes) throw new ProtocolViolation(`an object has more than ${maxBytes} bytes`);
  const status = length === 0 ? await reader.varint() : 0;
  return { id, payload: await reader.bytes(length), status };
}

export function encodeObject({ id, payload, status }: MediaObject): Buffer {
  const writer = new ByteWriter().varint(id).prefixed(payload);
  if (payload.length === 0) writer.varint(status);
  return writer.finish();
}
