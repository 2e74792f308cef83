/** Reads what `collect.ts` writes: files one after the other, each as a header and its bytes. One file is in memory at a time. */
export interface CollectedFile {
  /** Which of the directories it lies in. */
  readonly root: number;
  readonly path: string;
  readonly bytes: Buffer;
}

const HEADER_MAX_BYTES = 64 * 1024;

export class FrameReader {
  #chunks: Buffer[] = [];
  #size = 0;
  #header: { readonly root: number; readonly path: string; readonly size: number } | undefined;
  readonly #fileMaxBytes: number;

  constructor(fileMaxBytes: number) {
    this.#fileMaxBytes = fileMaxBytes;
  }

  /** Files that are complete with this piece. Throws for what is no frame: the sandbox's processes may have written anything. */
  *push(chunk: Buffer): Generator<CollectedFile> {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    for (;;) {
      if (this.#header === undefined) {
        if (this.#size < 4) return;
        const length = this.#joined().readUInt32BE(0);
        if (length > HEADER_MAX_BYTES) throw new Error("the list of files is damaged");
        if (this.#size < 4 + length) return;
        this.#take(4);
        this.#header = JSON.parse(this.#take(length).toString("utf8")) as { root: number; path: string; size: number };
        if (!(this.#header.size >= 0 && this.#header.size <= this.#fileMaxBytes)) throw new Error("the list of files is damaged");
      }
      if (this.#size < this.#header.size) return;
      const { root, path, size } = this.#header;
      this.#header = undefined;
      yield { root, path, bytes: this.#take(size) };
    }
  }

  /** Whether nothing is missing. */
  get complete(): boolean {
    return this.#size === 0 && this.#header === undefined;
  }

  #joined(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] as Buffer;
  }

  #take(size: number): Buffer {
    const all = this.#joined();
    this.#chunks = [all.subarray(size)];
    this.#size -= size;
    return all.subarray(0, size);
  }
}
