import assert from "node:assert/strict";
import { test } from "node:test";
import { chunksOf, countTokens } from "./chunks.ts";

const sentence = (n: number): string => `Sentence ${n} tells of some thing or other.`;
const paragraph = (n: number, sentences: number): string => Array.from({ length: sentences }, (_, i) => sentence(n * 100 + i)).join(" ");

test("chunks end at paragraphs, keep within their size and bring words of the one before", () => {
  const text = Array.from({ length: 12 }, (_, n) => paragraph(n, 4)).join("\n\n");
  const size = 100;
  const chunks = chunksOf(text, { size, overlapPercent: 20 });
  assert.ok(chunks.length > 5);
  for (const [at, chunk] of chunks.entries()) {
    assert.ok(countTokens(chunk.text) <= size, `${countTokens(chunk.text)} tokens`);
    assert.equal(text.slice(chunk.start, chunk.end), chunk.text);
    assert.ok(chunk.text.endsWith("other."));
    assert.ok(text.slice(chunk.end, chunk.end + 2) === "\n\n" || chunk.end === text.length, "ends with a paragraph");
    const before = chunks[at - 1];
    if (before === undefined) continue;
    const shared = countTokens(text.slice(chunk.start, before.end));
    assert.ok(shared > 10 && shared <= 20, `${shared} tokens of overlap`);
  }
  // Nothing is left out.
  assert.equal(new Set(chunks.flatMap(({ text: own }) => own.match(/Sentence \d+/g) ?? [])).size, 48);
});

test("a paragraph that is too long is cut at sentences, a sentence at words, a word anywhere", () => {
  for (const chunk of chunksOf(paragraph(1, 40), { size: 64, overlapPercent: 0 })) assert.match(chunk.text, /^Sentence .*other\.$/s);
  const words = "word ".repeat(500).trim();
  for (const { text } of chunksOf(words, { size: 64, overlapPercent: 0 })) assert.match(text, /^word( word)*$/);
  const run = "x".repeat(5000);
  const pieces = chunksOf(run, { size: 64, overlapPercent: 0 });
  assert.equal(pieces.map(({ text }) => text).join(""), run);
  assert.ok(pieces.every(({ text }) => countTokens(text) <= 64));
});

test("a short text is one chunk with every character, an empty one is none", () => {
  assert.deepEqual(chunksOf("\n# A title #\n", { size: 64, overlapPercent: 30 }), [{ text: "# A title #", start: 1, end: 12 }]);
  assert.deepEqual(chunksOf(" \n\n ", { size: 64, overlapPercent: 30 }), []);
});

test("scripts without spaces are counted by their letters", () => {
  assert.equal(countTokens("日本語のテキスト"), 8);
  const chunks = chunksOf("日本語のテキストです。".repeat(50), { size: 64, overlapPercent: 0 });
  assert.ok(chunks.every(({ text }) => countTokens(text) <= 64 && text.endsWith("。")));
});
