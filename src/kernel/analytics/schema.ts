/**
 * Introspection: the schema of the GraphQL Analytics API as objects in the form of the specification (October 2021,
 * section 4), for explorers such as GraphiQL. Types refer to one another; a query takes of them what it selects.
 */
import type { Dataset } from "../product.ts";
import { operatorsOf } from "./filter.ts";
import { dimensionsOf, hasZones, type Scalar, type Shape, shapeOf } from "./shape.ts";

interface Type {
  readonly kind: string;
  readonly name: string | null;
  readonly description: string | null;
  readonly specifiedByURL: null;
  readonly fields: readonly Member[] | null;
  readonly inputFields: readonly Member[] | null;
  readonly interfaces: readonly Type[] | null;
  readonly enumValues: readonly EnumValue[] | null;
  readonly possibleTypes: null;
  readonly ofType: Type | null;
}

/** A field, an input field or an argument. */
interface Member {
  readonly name: string;
  readonly description: string | null;
  readonly args: readonly Member[];
  readonly type: Type;
  readonly defaultValue: null;
  readonly isDeprecated: false;
  readonly deprecationReason: null;
}

interface EnumValue {
  readonly name: string;
  readonly description: null;
  readonly isDeprecated: false;
  readonly deprecationReason: null;
}

export interface Schema {
  readonly description: null;
  readonly queryType: Type;
  readonly mutationType: null;
  readonly subscriptionType: null;
  readonly types: readonly Type[];
  readonly directives: readonly [];
}

const blank: Type = {
  kind: "",
  name: null,
  description: null,
  specifiedByURL: null,
  fields: null,
  inputFields: null,
  interfaces: null,
  enumValues: null,
  possibleTypes: null,
  ofType: null,
};
const nonNull = (ofType: Type): Type => ({ ...blank, kind: "NON_NULL", ofType });
const listOf = (ofType: Type): Type => ({ ...blank, kind: "LIST", ofType: nonNull(ofType) });

const member = (name: string, type: Type, args: readonly Member[] = [], description: string | null = null): Member => ({
  name,
  description,
  args,
  type,
  defaultValue: null,
  isDeprecated: false,
  deprecationReason: null,
});

/** Text is GraphQL's own `String`, which the documentation's queries declare their variables with. */
const scalarNames: Readonly<Record<Scalar, string>> = {
  string: "String",
  uint64: "uint64",
  float64: "float64",
  Time: "Time",
  Date: "Date",
};
const scalarTexts: Readonly<Record<Scalar, string>> = {
  string: "Text",
  uint64: "A whole number from 0",
  float64: "A number",
  Time: "A time as RFC 3339 has it: 2026-03-10T12:00:00Z",
  Date: "A day: 2026-03-10",
};

export function schemaOf(datasets: Readonly<Record<string, Dataset>>): Schema {
  const types: Type[] = [];
  const add = (type: Partial<Type>): Type => {
    const added = { ...blank, ...type };
    types.push(added);
    return added;
  };
  const scalar = Object.fromEntries(
    Object.entries(scalarNames).map(([key, name]) => [key, add({ kind: "SCALAR", name, description: scalarTexts[key as Scalar] })]),
  ) as Record<Scalar, Type>;
  add({ kind: "SCALAR", name: "Boolean", description: "true or false" });

  const objectType = (name: string, shape: Shape, description: string | null): Type =>
    add({
      kind: "OBJECT",
      name,
      description,
      interfaces: [],
      fields: Object.entries(shape).map(([field, inner]) =>
        member(
          field,
          nonNull(
            typeof inner === "string" ? scalar[inner] : objectType(`${name}${field[0]?.toUpperCase()}${field.slice(1)}`, inner, null),
          ),
        ),
      ),
    });

  function filterType(name: string, dataset: Dataset): Type {
    const inputFields: Member[] = [];
    const type = add({ kind: "INPUT_OBJECT", name: `${name}Filter_InputObject`, inputFields });
    for (const key of ["AND", "OR"]) inputFields.push(member(key, listOf(type)));
    for (const [field, kind] of Object.entries(dimensionsOf(dataset)))
      for (const operator of operatorsOf(kind)) {
        const many = operator === "in" || operator === "notin";
        inputFields.push(member(operator === "" ? field : `${field}_${operator}`, many ? listOf(scalar[kind]) : scalar[kind]));
      }
    return type;
  }

  function orderType(name: string, shape: Shape): Type {
    const names = Object.entries(shape).flatMap(([field, inner]) =>
      typeof inner === "string"
        ? [field]
        : Object.keys(inner).map((innerField) => (field === "dimensions" ? innerField : `${field}_${innerField}`)),
    );
    const enumValues = names
      .flatMap((field) => [`${field}_ASC`, `${field}_DESC`])
      .map((value): EnumValue => ({ name: value, description: null, isDeprecated: false, deprecationReason: null }));
    return add({ kind: "ENUM", name: `${name}OrderBy`, enumValues });
  }

  const fieldsOf = (owner: "Account" | "Zone", sets: readonly [string, Dataset][]): Member[] =>
    sets.map(([name, dataset]) => {
      const typeName = `${owner}${name[0]?.toUpperCase()}${name.slice(1)}`;
      const shape = shapeOf(name, dataset);
      const args = [
        member("filter", filterType(typeName, dataset)),
        member("limit", scalar.uint64),
        member("orderBy", listOf(orderType(typeName, shape))),
      ];
      return member(name, nonNull(listOf(objectType(typeName, shape, dataset.description))), args, dataset.description);
    });
  const all = Object.entries(datasets);
  const account = add({ kind: "OBJECT", name: "account", interfaces: [], fields: fieldsOf("Account", all) });
  const accountFilter = add({
    kind: "INPUT_OBJECT",
    name: "AccountFilter_InputObject",
    inputFields: [member("accountTag", scalar.string)],
  });
  const accounts = member("accounts", nonNull(listOf(account)), [member("filter", accountFilter)]);
  const owners = [accounts];
  const zoned = all.filter(([, dataset]) => hasZones(dataset));
  // A type without fields would be none.
  if (zoned.length > 0) {
    const zone = add({ kind: "OBJECT", name: "zone", interfaces: [], fields: fieldsOf("Zone", zoned) });
    const zoneFilter = add({ kind: "INPUT_OBJECT", name: "ZoneFilter_InputObject", inputFields: [member("zoneTag", scalar.string)] });
    owners.push(member("zones", nonNull(listOf(zone)), [member("filter", zoneFilter)]));
  }
  const viewer = add({ kind: "OBJECT", name: "viewer", interfaces: [], fields: owners });
  const queryType = add({ kind: "OBJECT", name: "Query", interfaces: [], fields: [member("viewer", nonNull(viewer))] });
  return { description: null, queryType, mutationType: null, subscriptionType: null, types, directives: [] };
}
