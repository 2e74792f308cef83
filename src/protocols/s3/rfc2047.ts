/**
 * RFC 2047 encoded words, the form in which S3 carries metadata that is not ASCII in headers
 * (docs/r2/api/s3/extensions, "Unicode metadata").
 */

/** Decodes every encoded word in a header value; what is not one stays as it is. */
export function decodeRfc2047(value: string): string {
  if (!value.includes("=?")) return value;
  return (
    value
      // White space between two encoded words belongs to the encoding.
      .replace(/(\?=)[ \t]+(?==\?)/g, "$1")
      .replace(/=\?([^?\s]+)\?([bBqQ])\?([^?\s]*)\?=/g, (word, charset: string, encoding: string, text: string) => {
        const bytes = encoding.toLowerCase() === "b" ? Buffer.from(text, "base64") : quotedPrintable(text);
        try {
          return new TextDecoder(charset, { fatal: true }).decode(bytes);
        } catch {
          // An unknown charset, or bytes that are not of it: the client meant the text literally.
          return word;
        }
      })
  );
}

function quotedPrintable(text: string): Buffer {
  const bytes = text.replaceAll("_", " ").replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
}

/** A value that a header can carry: as it is when printable ASCII, else encoded words of at most 75 characters. */
export function encodeRfc2047(value: string): string {
  if (/^[\x20-\x7e]*$/.test(value) && !value.includes("=?")) return value;
  const words: string[] = [];
  let word = "";
  // 45 bytes make 60 characters of base64; a word must not split a character.
  for (const char of value) {
    if (Buffer.byteLength(word + char) > 45) {
      words.push(word);
      word = "";
    }
    word += char;
  }
  words.push(word);
  return words.map((text) => `=?UTF-8?B?${Buffer.from(text).toString("base64")}?=`).join(" ");
}
