/** The Durable Object that a container belongs to, as workerd's names of containers say it. */

export interface ObjectKey {
  /** Key of the namespace's part and the object's id: "<32 hex digits>[-eu]-<64 hex digits>". */
  readonly text: string;
  readonly namespaceId: string;
  readonly objectId: string;
}

/** Session that workerd is given; a part of its names. */
export const SESSION = "freehold";

const KEY = /^([0-9a-f]{32})(?:-[a-z]+)?-([0-9a-f]{64})$/;
const NAME = new RegExp(`^workerd-${SESSION}-(.*?)(-proxy)?$`);

export function objectKey(text: string): ObjectKey | undefined {
  const [, namespaceId, objectId] = KEY.exec(text) ?? [];
  return namespaceId === undefined || objectId === undefined ? undefined : { text, namespaceId, objectId };
}

/** The object of a container's name, and whether it means the helper beside the container. */
export function containerName(name: string): { readonly object: ObjectKey; readonly helper: boolean } | undefined {
  const [, text = "", helper] = NAME.exec(name) ?? [];
  const object = objectKey(text);
  return object && { object, helper: helper !== undefined };
}
