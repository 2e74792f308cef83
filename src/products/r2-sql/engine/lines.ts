/**
 * Lines of a stream of UTF-8 text, ended by \n alone. Not node:readline, which also ends lines at U+2028 and U+2029: both
 * stand unescaped in JSON. The stream is read no faster than the lines are taken.
 */
import type { Readable } from "node:stream";

const NEWLINE = 0x0a;

export async function* lines(stream: Readable): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      rest.push(chunk.subarray(from, end));
      yield Buffer.concat(rest).toString("utf8");
      rest = [];
      from = end + 1;
    }
    if (from < chunk.length) rest.push(chunk.subarray(from));
  }
}
