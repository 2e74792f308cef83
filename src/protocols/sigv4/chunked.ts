/**
 * The aws-chunked body coding: payload in chunks that may each carry a signature, and trailing headers. A push
 * parser: it never holds more than one chunk header or the trailers, hands out payload as slices of what came
 * in, and hashes signed chunks as they pass. Nothing it hands out may be believed before `finish` has returned.
 */
import { createHash, type Hash } from "node:crypto";
import { EMPTY_SHA256, hmacHex } from "./canonical.ts";
import { incompleteBody, invalidRequest, signatureDoesNotMatch } from "./errors.ts";
import { equal, type VerifiedSignature } from "./verify.ts";

export interface ChunkedOptions {
  /** Present when chunks are signed. */
  readonly signature?: VerifiedSignature;
  /** The coding promises trailing headers. */
  readonly trailer: boolean;
}

/** Longest chunk header line and longest trailer section: nothing that real clients send comes near. */
const LINE_MAX_BYTES = 4096;
const TRAILERS_MAX_BYTES = 16 * 1024;

const LF = 0x0a;

type State = "header" | "data" | "data-end" | "trailers" | "done";

export class ChunkedDecoder {
  readonly #signature: VerifiedSignature | undefined;
  readonly #trailer: boolean;
  #state: State = "header";
  /** Bytes of the chunk still to come. */
  #remaining = 0;
  /** An incomplete line. */
  #line: Buffer = Buffer.alloc(0);
  #hash: Hash | undefined;
  /** Signature that the next link of the chain continues. */
  #previous: string;
  #claimed = "";
  #last = false;
  readonly #trailers = new Map<string, string>();
  #trailerText = "";
  #trailerBytes = 0;

  constructor(options: ChunkedOptions) {
    this.#signature = options.signature;
    this.#trailer = options.trailer;
    this.#previous = options.signature?.signature ?? "";
  }

  /** Payload bytes in `input`, in order. Throws `SignatureError` on a malformed or wrongly signed body. */
  push(input: Buffer): Buffer[] {
    const payload: Buffer[] = [];
    let at = 0;
    while (at < input.length) {
      if (this.#state === "data") {
        const slice = input.subarray(at, at + this.#remaining);
        at += slice.length;
        this.#remaining -= slice.length;
        this.#hash?.update(slice);
        payload.push(slice);
        if (this.#remaining === 0) this.#state = "data-end";
        continue;
      }
      if (this.#state === "done") {
        // One more empty line is what some clients end with.
        if (!/^[\r\n]*$/.test(input.toString("latin1", at))) throw invalidRequest("The body continues after its last chunk.");
        break;
      }
      const end = input.indexOf(LF, at);
      const piece = input.subarray(at, end === -1 ? input.length : end + 1);
      this.#line = this.#line.length === 0 ? piece : Buffer.concat([this.#line, piece]);
      if (this.#line.length > LINE_MAX_BYTES) throw invalidRequest("A line of the aws-chunked body is too long.");
      at += piece.length;
      if (end === -1) {
        // The slice is of a buffer that the socket owns.
        this.#line = Buffer.from(this.#line);
        break;
      }
      const line = this.#line.toString("latin1").replace(/\r?\n$/, "");
      this.#line = Buffer.alloc(0);
      this.#takeLine(line);
    }
    return payload;
  }

  /** The trailing headers by lower-case name. Throws when the body ended early. */
  finish(): ReadonlyMap<string, string> {
    // Some clients leave out the empty line that ends the trailers.
    if (this.#state === "trailers" && this.#line.length > 0) this.#takeLine(this.#line.toString("latin1").replace(/\r$/, ""));
    if (this.#state === "trailers" && (this.#signature === undefined || this.#trailers.has("x-amz-trailer-signature") || !this.#trailer)) {
      this.#end();
    }
    if (this.#state !== "done") throw incompleteBody("The request body terminated unexpectedly");
    return this.#trailers;
  }

  #takeLine(line: string): void {
    if (this.#state === "header") this.#takeHeader(line);
    else if (this.#state === "data-end") {
      if (line !== "") throw invalidRequest("A chunk of the aws-chunked body is longer than its header says.");
      this.#endChunk();
      this.#state = "header";
    } else this.#takeTrailer(line);
  }

  #takeHeader(line: string): void {
    const match = /^([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line);
    if (match === null) throw invalidRequest("The aws-chunked body is malformed.");
    if (this.#signature !== undefined && match[2] === undefined) throw signatureDoesNotMatch();
    this.#remaining = Number.parseInt(match[1] as string, 16);
    this.#claimed = match[2] ?? "";
    this.#hash = this.#signature && createHash("sha256");
    if (this.#remaining > 0) {
      this.#state = "data";
      return;
    }
    this.#last = true;
    this.#endChunk();
    this.#state = "trailers";
  }

  #takeTrailer(line: string): void {
    if (line === "") {
      this.#end();
      return;
    }
    this.#trailerBytes += line.length;
    if (this.#trailerBytes > TRAILERS_MAX_BYTES) throw invalidRequest("The trailers of the aws-chunked body are too long.");
    const separator = line.indexOf(":");
    if (separator === -1) throw invalidRequest("A trailer of the aws-chunked body is malformed.");
    const name = line.slice(0, separator).trim().toLowerCase();
    const value = line.slice(separator + 1).trim();
    if (name !== "x-amz-trailer-signature") this.#trailerText += `${name}:${value}\n`;
    this.#trailers.set(name, value);
  }

  #endChunk(): void {
    if (this.#signature === undefined) return;
    const { key, scope, amzDate } = this.#signature;
    const dataHash = (this.#hash as Hash).digest("hex");
    const expected = hmacHex(key, ["AWS4-HMAC-SHA256-PAYLOAD", amzDate, scope, this.#previous, EMPTY_SHA256, dataHash].join("\n"));
    if (!equal(expected, this.#claimed)) throw signatureDoesNotMatch();
    this.#previous = expected;
  }

  #end(): void {
    if (!this.#last) throw incompleteBody();
    if (this.#signature !== undefined && this.#trailer) {
      const { key, scope, amzDate } = this.#signature;
      const hash = createHash("sha256").update(this.#trailerText).digest("hex");
      const expected = hmacHex(key, ["AWS4-HMAC-SHA256-TRAILER", amzDate, scope, this.#previous, hash].join("\n"));
      if (!equal(expected, this.#trailers.get("x-amz-trailer-signature") ?? "")) throw signatureDoesNotMatch();
    }
    this.#state = "done";
  }
}
