/**
 * Links to code: all of it is in the link's fragment, which browsers send to nobody, and nothing is stored. The form is
 * that of the real playground's links (`compressWorker` in the documentation's own sources): an upload's form with its
 * type before it, compressed by lz-string; so links of one open in the other.
 */
import LZString from "lz-string";
import { codeOfForm, uploadForm, type WorkerCode } from "./code.ts";

/** Past it a link is no code that a person has written, and would only keep the browser busy. */
const LINK_MAX = 1_000_000;

/** The fragment without its "#". */
export async function fragmentOf(code: WorkerCode): Promise<string> {
  const form = new Response(uploadForm(code));
  return LZString.compressToEncodedURIComponent(`${form.headers.get("content-type")}:${await form.text()}`);
}

/** Throws when the fragment is no code. */
export async function codeOfFragment(fragment: string): Promise<WorkerCode> {
  if (fragment.length > LINK_MAX) throw new Error("The link is too long.");
  const text = LZString.decompressFromEncodedURIComponent(fragment) ?? "";
  const end = text.indexOf(":");
  if (!text.startsWith("multipart/form-data;") || end < 0) throw new Error("The link has no code that can be read.");
  return codeOfForm(await new Response(text.slice(end + 1), { headers: { "content-type": text.slice(0, end) } }).formData());
}
