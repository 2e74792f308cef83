/**
 * Recursive chunking (docs/ai-search/configuration/chunking): a text is cut at paragraphs, what is too long at lines, then
 * sentences, then words. No chunk has more than `size` tokens, the words that it begins with from the chunk before included.
 * Tokens are estimated without a model's vocabulary: letters by fours, other marks one each.
 */

export interface Chunk {
  readonly text: string;
  /** Place in the text in UTF-16 units; chunks overlap. */
  readonly start: number;
  readonly end: number;
}

export interface ChunkOptions {
  /** Tokens. */
  readonly size: number;
  /** Of the tokens, how many hundredths come from the chunk before. */
  readonly overlapPercent: number;
}

const TOKEN = /[\p{L}\p{M}\p{N}]{1,4}|[^\s\p{L}\p{M}\p{N}]/gu;
/** Scripts that write a syllable or a word with each letter. */
const DENSE = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]/u;

/** Where pieces of a level end, the coarsest first. */
const LEVELS = [/\n[^\S\n]*\n\s*/g, /\n/g, /(?<=[.!?…。！？])["'”’)\]]*\s+|(?<=[。！？])/g, /\s+/g] as const;

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Offsets at which the text's tokens end, ascending. */
function tokenEnds(text: string): number[] {
  const ends: number[] = [];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (DENSE.test(token)) {
      let at = index;
      for (const letter of token) {
        at += letter.length;
        ends.push(at);
      }
    } else ends.push(index + token.length);
  }
  return ends;
}

export const countTokens = (text: string): number => tokenEnds(text).length;

/** How many of the ascending numbers are at most `limit`. */
function upTo(numbers: readonly number[], limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function chunksOf(text: string, { size, overlapPercent }: ChunkOptions): Chunk[] {
  const ends = tokenEnds(text);
  const between = (start: number, end: number): number => upTo(ends, end) - upTo(ends, start);
  if (ends.length === 0) return [];
  const whole = trimmed(text, { start: 0, end: text.length });
  if (ends.length <= size) return [{ ...whole, text: text.slice(whole.start, whole.end) }];
  const overlap = Math.floor((size * overlapPercent) / 100);
  const core = size - overlap;

  function split(range: Range, level: number): Range[] {
    if (level === LEVELS.length) return byTokens(range);
    const out: Range[] = [];
    let open: Range | undefined;
    const close = (): void => {
      if (open !== undefined) out.push(open);
      open = undefined;
    };
    for (const piece of piecesOf(text, range, LEVELS[level] as RegExp)) {
      if (between(piece.start, piece.end) > core) {
        close();
        out.push(...split(piece, level + 1));
      } else if (open !== undefined && between(open.start, piece.end) <= core) open = { start: open.start, end: piece.end };
      else {
        close();
        open = piece;
      }
    }
    close();
    return out;
  }

  /** A word without an end: cut wherever a token ends. */
  function byTokens({ start, end }: Range): Range[] {
    const out: Range[] = [];
    for (let from = start; from < end; ) {
      const to = Math.min(end, ends[upTo(ends, from) + core - 1] ?? end);
      out.push({ start: from, end: to });
      from = to;
    }
    return out;
  }

  /** Where a chunk begins that has `overlap` tokens of what is before: at a sentence if there is one, else at a word. */
  function withOverlap(range: Range, before: Range | undefined): Range {
    if (before === undefined || overlap === 0) return range;
    const first = upTo(ends, range.start) - overlap;
    const earliest = Math.max(before.start, first <= 0 ? 0 : (ends[first - 1] as number));
    const gap = text.slice(earliest, range.start);
    // A token is not cut in two.
    const word = /\s/.test(text[earliest - 1] ?? " ") ? 0 : gap.search(/\s/);
    return word === -1 ? range : { start: earliest + word, end: range.end };
  }

  const cores = split({ start: 0, end: text.length }, 0);
  return cores.flatMap((range, at) => {
    const placed = trimmed(text, withOverlap(range, cores[at - 1]));
    const own = text.slice(placed.start, placed.end);
    return own === "" || between(range.start, range.end) === 0 ? [] : [{ ...placed, text: own }];
  });
}

/** The range cut behind each separator; separators stay with what they end. */
function* piecesOf(text: string, { start, end }: Range, separator: RegExp): Generator<Range> {
  const part = text.slice(start, end);
  let from = 0;
  for (const match of part.matchAll(separator)) {
    const to = match.index + match[0].length;
    if (to <= from) continue;
    yield { start: start + from, end: start + to };
    from = to;
  }
  if (from < part.length) yield { start: start + from, end };
}

function trimmed(text: string, { start, end }: Range): Range {
  let from = start;
  let to = end;
  while (from < to && /\s/.test(text[from] as string)) from++;
  while (to > from && /\s/.test(text[to - 1] as string)) to--;
  return { start: from, end: to };
}
