/** An image's id in the path of a URL: ids of users may have slashes, and are percent-encoded. */

/** Undefined when there is none, or the encoding is broken. */
export function imageIdOf(segments: readonly string[]): string | undefined {
  try {
    const id = segments.map(decodeURIComponent).join("/");
    return id === "" ? undefined : id;
  } catch {
    return undefined;
  }
}
