/** The requirements of a commit, checked against a table's metadata. Texts are those of the reference implementation. */
import { conflict } from "./errors.ts";
import type { TableMetadata } from "./metadata.ts";
import type { TableRequirement } from "./updates.ts";

/** Throws `conflict` naming the first requirement that does not hold. `base` is undefined when there is no table. */
export function checkRequirements(base: TableMetadata | undefined, requirements: readonly TableRequirement[]): void {
  for (const requirement of requirements) checkRequirement(base, requirement);
}

function checkRequirement(base: TableMetadata | undefined, requirement: TableRequirement): void {
  if (requirement.type === "assert-create") {
    if (base !== undefined) failed("table already exists");
    return;
  }
  if (base === undefined) throw failed("table does not exist");
  const same = (what: string, expected: number, actual: number): void => {
    if (expected !== actual) failed(`${what}: expected id ${expected} != ${actual}`);
  };
  switch (requirement.type) {
    case "assert-table-uuid":
      if (requirement.uuid.toLowerCase() !== base["table-uuid"].toLowerCase())
        failed(`UUID does not match: expected ${requirement.uuid} != ${base["table-uuid"]}`);
      return;
    case "assert-ref-snapshot-id": {
      const { ref: name, "snapshot-id": expected } = requirement;
      const ref = Object.hasOwn(base.refs, name) ? base.refs[name] : undefined;
      if (ref === undefined) {
        if (expected !== null) failed(`branch or tag ${name} is missing, expected ${expected}`);
      } else if (expected === null) failed(`${ref.type} ${name} was created concurrently`);
      else if (expected !== ref["snapshot-id"]) failed(`${ref.type} ${name} has changed: expected id ${expected} != ${ref["snapshot-id"]}`);
      return;
    }
    case "assert-last-assigned-field-id":
      same("last assigned field id changed", requirement["last-assigned-field-id"], base["last-column-id"]);
      break;
    case "assert-current-schema-id":
      same("current schema changed", requirement["current-schema-id"], base["current-schema-id"]);
      break;
    case "assert-last-assigned-partition-id":
      same("last assigned partition id changed", requirement["last-assigned-partition-id"], base["last-partition-id"]);
      break;
    case "assert-default-spec-id":
      same("default partition spec changed", requirement["default-spec-id"], base["default-spec-id"]);
      break;
    case "assert-default-sort-order-id":
      same("default sort order changed", requirement["default-sort-order-id"], base["default-sort-order-id"]);
      break;
  }
}

function failed(message: string): never {
  throw conflict(`Requirement failed: ${message}`);
}
