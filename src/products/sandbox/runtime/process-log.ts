/**
 * What a process printed, in order and by stream, for readers who come at any time and follow it to its end. Readers pull; a slow
 * one holds up nobody. The oldest text goes when there is more than MAX_CHARACTERS.
 */
export type OutputStream = "stdout" | "stderr";

export interface Piece {
  readonly stream: OutputStream;
  readonly data: string;
}

const MAX_CHARACTERS = 16 * 1024 * 1024;

export class ProcessLog {
  #pieces: Piece[] = [];
  /** How many pieces have gone from the beginning. */
  #gone = 0;
  #characters = 0;
  #ended = false;
  #changed = Promise.withResolvers<void>();

  add(stream: OutputStream, data: string): void {
    if (data === "") return;
    this.#pieces.push({ stream, data });
    this.#characters += data.length;
    while (this.#characters > MAX_CHARACTERS && this.#pieces.length > 1) {
      this.#characters -= this.#pieces.shift()?.data.length ?? 0;
      this.#gone++;
    }
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  text(stream: OutputStream): string {
    return this.#pieces.reduce((text, piece) => (piece.stream === stream ? text + piece.data : text), "");
  }

  /** Every piece from the beginning on, until the process has ended or the reader has gone. */
  async *follow(signal: AbortSignal): AsyncGenerator<Piece> {
    const gone = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    for (let next = 0; !signal.aborted; ) {
      next = Math.max(next, this.#gone);
      const piece = this.#pieces[next - this.#gone];
      if (piece) {
        next++;
        yield piece;
      } else if (this.#ended) return;
      else await Promise.race([this.#changed.promise, gone]);
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
