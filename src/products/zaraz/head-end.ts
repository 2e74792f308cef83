/**
 * Puts a piece of text before the end of an HTML page's head, as the page streams by: nothing is held back but the few bytes
 * in which a tag's name may be cut in two. A page whose head does not end within the first megabyte goes by unchanged.
 * It reads bytes as ASCII, which every charset of the web but UTF-16 has in common.
 */
import { Transform, type TransformCallback } from "node:stream";

/** Elements whose content is text: a `</head>` in them is none. */
const RAW_TEXT = new Set(["script", "style", "title", "textarea", "noscript", "template", "xmp", "iframe", "noembed", "noframes"]);
const SCAN_MAX_BYTES = 1024 * 1024;
/** Enough for every name that matters, and for the beginning of a comment. */
const LOOKAHEAD = 12;

type State = "text" | "tag" | "comment" | "raw";

export class HeadEnd extends Transform {
  #piece: Buffer;
  #state: State = "text";
  /** In a tag: the quote that an attribute's value began with. */
  #quote = "";
  /** The element whose tag, or whose text, this is. */
  #raw = "";
  #rest = "";
  #scanned = 0;
  #done = false;

  constructor(piece: string) {
    super();
    this.#piece = Buffer.from(piece);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#done) this.push(chunk);
    else this.#scan(this.#rest + chunk.toString("latin1"), false);
    done();
  }

  override _flush(done: TransformCallback): void {
    if (!this.#done) this.#scan(this.#rest, true);
    done();
  }

  #send(text: string): void {
    if (text !== "") this.push(Buffer.from(text, "latin1"));
  }

  #scan(text: string, last: boolean): void {
    this.#rest = "";
    let at = 0;
    while (at < text.length) {
      const open = this.#next(text, at);
      if (open === -1) break;
      const next = !last && text.length - open < LOOKAHEAD ? undefined : this.#step(text, open);
      if (next === "here") this.#insert(text, open);
      else if (next === undefined) this.#hold(text, open);
      if (typeof next !== "number") return;
      at = next;
    }
    this.#send(text);
    this.#scanned += text.length;
    if (this.#scanned > SCAN_MAX_BYTES) this.#done = true;
  }

  /** Where the next character lies that means something in this state; -1: not in this text. */
  #next(text: string, at: number): number {
    if (this.#state === "comment") return text.indexOf("-", at);
    if (this.#state !== "tag") return text.indexOf("<", at);
    if (this.#quote !== "") return text.indexOf(this.#quote, at);
    for (let i = at; i < text.length; i++) if (text[i] === ">" || text[i] === '"' || text[i] === "'") return i;
    return -1;
  }

  /** Takes the character at `at`; gives where to go on, or says that the piece belongs here. */
  #step(text: string, at: number): number | "here" {
    switch (this.#state) {
      case "comment":
        if (text.startsWith("-->", at)) {
          this.#state = "text";
          return at + 3;
        }
        return at + 1;
      case "raw":
        if (text.slice(at + 2, at + 2 + this.#raw.length).toLowerCase() === this.#raw && text[at + 1] === "/") {
          this.#state = "tag";
          this.#raw = "";
        }
        return at + 1;
      case "tag":
        if (text[at] === ">") this.#state = this.#raw === "" ? "text" : "raw";
        else this.#quote = this.#quote === "" ? (text[at] as string) : "";
        return at + 1;
      default:
        return this.#open(text, at);
    }
  }

  /** A "<" in text. */
  #open(text: string, at: number): number | "here" {
    if (text.startsWith("<!--", at)) {
      this.#state = "comment";
      // `<!-->` is a whole comment.
      return at + 2;
    }
    const [, slash, name = ""] = /^<(\/?)([a-z][a-z0-9]*)(?=[\s/>])/i.exec(text.slice(at, at + LOOKAHEAD)) ?? [];
    const lower = name.toLowerCase();
    if ((slash === "/" && lower === "head") || (slash === "" && lower === "body")) return "here";
    if (!/^<[a-z/!?]/i.test(text.slice(at, at + 2))) return at + 1;
    this.#state = "tag";
    this.#quote = "";
    this.#raw = slash === "" && RAW_TEXT.has(lower) ? lower : "";
    return at + 1;
  }

  #hold(text: string, from: number): void {
    this.#send(text.slice(0, from));
    this.#scanned += from;
    this.#rest = text.slice(from);
  }

  #insert(text: string, at: number): void {
    this.#done = true;
    this.#send(text.slice(0, at));
    this.push(this.#piece);
    this.#send(text.slice(at));
  }
}
