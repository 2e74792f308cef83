/** The answer of EXPLAIN: which files are read of each table and why not the others, then the engine's plan. Scans nothing. */
import type { StaticResult } from "./catalog.ts";
import { predicateText } from "./plan/predicate.ts";
import type { PlannedTable } from "./query.ts";

interface PlanNode {
  readonly name?: string;
  readonly extra_info?: Readonly<Record<string, unknown>>;
  readonly children?: readonly PlanNode[];
}

export function explainRows(engineJson: string, tables: readonly PlannedTable[], format: "text" | "json"): StaticResult {
  const scans = tables.map(({ table, plan, predicate }) => ({
    table: table.name,
    predicate: predicateText(predicate, (id) => table.schema.fields.find((field) => field.id === id)?.name ?? String(id)),
    files: plan.data.length,
    bytes: plan.data.reduce((sum, { file }) => sum + file.fileSize, 0),
    delete_files: plan.positionDeletes.length + plan.equalityDeletes.length,
    files_pruned: plan.skippedFiles,
    manifests_pruned: plan.skippedManifests,
  }));
  const physical = (JSON.parse(engineJson) as PlanNode[]).map(withoutFiles);
  const rows =
    format === "json"
      ? [{ plan_type: "json", plan: JSON.stringify({ scans, physical }) }]
      : [
          { plan_type: "table_scans", plan: scans.map(scanText).join("\n") },
          { plan_type: "physical_plan", plan: physical.map((node) => planText(node, 0)).join("\n") },
        ];
  const column = (name: string) => ({ name, descriptor: { type: { name: "string" }, nullable: false } });
  return { columns: [column("plan_type"), column("plan")], rows };
}

const scanText = (scan: Record<string, unknown>): string =>
  `IcebergScan: ${scan.table} files=${scan.files} bytes=${scan.bytes} files_pruned=${scan.files_pruned} manifests_pruned=${scan.manifests_pruned}` +
  `${scan.delete_files === 0 ? "" : ` delete_files=${scan.delete_files}`}${scan.predicate === "" ? "" : ` predicate=${scan.predicate}`}`;

/** The engine lists some of the files; the scans above have all that matters about them. */
function withoutFiles(node: PlanNode): PlanNode {
  const info = Object.fromEntries(Object.entries(node.extra_info ?? {}).filter(([name]) => !/file/i.test(name)));
  return { ...(node.name !== undefined && { name: node.name }), extra_info: info, children: (node.children ?? []).map(withoutFiles) };
}

function planText(node: PlanNode, depth: number): string {
  const info = Object.entries(node.extra_info ?? {})
    .filter(([name, value]) => value !== "" && name !== "__estimated_cardinality__")
    .map(([name, value]) => `${name.replaceAll("_", "").toLowerCase()}=${Array.isArray(value) ? `[${value.join(", ")}]` : String(value)}`);
  const line = `${"  ".repeat(depth)}${node.name?.trim() ?? ""}${info.length === 0 ? "" : `: ${info.join(", ")}`}`;
  return [line, ...(node.children ?? []).map((child) => planText(child, depth + 1))].join("\n");
}
