/**
 * Whose Worker it is: the account's, or a dispatch namespace's. The name of a user Worker, one that belongs to a namespace,
 * is `<namespace's id>/<its name there>` throughout this product; a name of the account's Workers has no slash, so that
 * neither is ever taken for the other. (Other products' Workers have names with a colon: `owned.ts`.)
 */

export const userWorkerName = (namespace: string, name: string): string => `${namespace}/${name}`;

/** The id of the dispatch namespace that the Worker belongs to; undefined: the account. */
export function namespaceOf(scriptName: string): string | undefined {
  const slash = scriptName.indexOf("/");
  return slash < 0 ? undefined : scriptName.slice(0, slash);
}

/** The name that users know. */
export const plainName = (scriptName: string): string => scriptName.slice(scriptName.indexOf("/") + 1);

/** What a Worker's static assets are shared with: other versions of it, or all Workers of its namespace. */
export function assetScope(scriptName: string): string {
  const namespace = namespaceOf(scriptName);
  return namespace === undefined ? scriptName : `${namespace}/`;
}
