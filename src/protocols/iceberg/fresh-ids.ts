/**
 * Fresh field ids for a new table's schema, from 1, in the order of the reference implementation: all fields of a struct
 * first, then what is nested in each. Existing tables never renumber.
 */
import { type IcebergType, isList, isMap, isStruct, type NestedField, type Schema } from "./types.ts";

/** The schema with fresh ids and schema id 0, and the map from the old ids to the new. */
export function assignFreshIds(schema: Schema): { schema: Schema; newIds: Map<number, number> } {
  const newIds = new Map<number, number>();
  let last = 0;
  const next = (oldId: number): number => {
    newIds.set(oldId, ++last);
    return last;
  };
  const fields = (old: readonly NestedField[]): NestedField[] => {
    const ids = old.map((field) => next(field.id));
    return old.map((field, i) => ({ ...field, id: ids[i] as number, type: nested(field.type) }));
  };
  const nested = (type: IcebergType): IcebergType => {
    if (isStruct(type)) return { ...type, fields: fields(type.fields) };
    if (isList(type)) {
      const id = next(type["element-id"]);
      return { ...type, "element-id": id, element: nested(type.element) };
    }
    if (isMap(type)) {
      const [keyId, valueId] = [next(type["key-id"]), next(type["value-id"])];
      return { ...type, "key-id": keyId, key: nested(type.key), "value-id": valueId, value: nested(type.value) };
    }
    return type;
  };
  const fresh = fields(schema.fields);
  const identifiers = schema["identifier-field-ids"];
  return {
    schema: {
      type: "struct",
      "schema-id": 0,
      ...(identifiers && identifiers.length > 0 && { "identifier-field-ids": identifiers.map((id) => newIds.get(id) ?? id) }),
      fields: fresh,
    },
    newIds,
  };
}
