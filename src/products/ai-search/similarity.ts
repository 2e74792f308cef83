/** What makes two questions alike for the similarity cache: the words that matter in them, and how many they share. */

export type Threshold = "super_strict_match" | "close_enough" | "flexible_friend" | "anything_goes";

/** Shared words of all words, at least: the documented Exact, Strong, Broad and Loose. */
export const LEAST: Readonly<Record<Threshold, number>> = {
  super_strict_match: 0.95,
  close_enough: 0.66,
  flexible_friend: 0.45,
  anything_goes: 0.2,
};

/** Words that questions are made of whatever they ask. */
const FILLER = new Set(
  (
    "a an the is are was were be been do does did can could will would shall should may might i you he she it we they me my your our their of " +
    "to in on at for with and or but not s t what which who whom how when where why that this these those please tell give show there here"
  ).split(" "),
);

/** Numbers of the words that matter, ascending; those of all words where none does. */
export function shinglesOf(text: string): number[] {
  const words = (
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  ).map((word) => word.replace(/(?<=.{3})s$/, ""));
  const matter = words.filter((word) => !FILLER.has(word));
  return [...new Set((matter.length > 0 ? matter : words).map(hash))].sort((a, b) => a - b);
}

/** FNV-1a. */
function hash(word: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < word.length; at++) value = Math.imul(value ^ word.charCodeAt(at), 0x01000193);
  return value >>> 0;
}
