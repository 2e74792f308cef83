/**
 * Arithmetic as DataFusion does it: integers divide to integers and wrap around, decimals divide to decimals, dates stay
 * dates. Types are asked for where the SQL depends on them.
 */
import { BIGINT, DOUBLE, type DuckDBDecimalType, type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { isFloat, isInteger } from "../../../kernel/duckdb/datafusion/types.ts";
import type { Scope } from "./scope.ts";

export const arithmeticOperators: ReadonlySet<string> = new Set(["+", "-", "*", "/", "%"]);

export async function arithmetic(name: string, a: string, b: string, scope: Scope): Promise<string> {
  const plain = `(${a} ${name} ${b})`;
  const note = (sql: string): string => scope.types.note(sql, resultType(a, b, scope));
  const types = async (): Promise<[DuckDBType, DuckDBType]> => (await scope.types.all([a, b])) as [DuckDBType, DuckDBType];
  if (name === "/") {
    const [left, right] = await types();
    if (isInteger(left) && isInteger(right)) return note(`(${a} // ${b})`);
    return decimalDivision(a, left, b, right) ?? note(plain);
  }
  if ((name === "+" || name === "-") && (isInterval(a) || isInterval(b))) {
    const [left, right] = await types();
    return left.typeId === DuckDBTypeId.DATE || right.typeId === DuckDBTypeId.DATE ? `CAST(${plain} AS DATE)` : plain;
  }
  if (!scope.guarded || name === "%") return note(plain);
  const [left, right] = await types();
  return note(wrapping(name, a, left, b, right) ?? plain);
}

/** Literals alone: what else is an interval is rare, and nothing is lost but that a date becomes a time. */
const isInterval = (sql: string): boolean => /^TRY_CAST\('[^']*' AS INTERVAL\)$|^to_[a-z]+\(/.test(sql);

const WIDTHS: Partial<Record<DuckDBTypeId, readonly [type: string, half: bigint]>> = {
  [DuckDBTypeId.INTEGER]: ["INTEGER", 2n ** 31n],
  [DuckDBTypeId.BIGINT]: ["BIGINT", 2n ** 63n],
};

/** DuckDB's integers fail where DataFusion's wrap around. 128 bits hold what two of 64 make; undefined for other types. */
function wrapping(name: string, a: string, left: DuckDBType, b: string, right: DuckDBType): string | undefined {
  const [one, other] = [WIDTHS[left.typeId], WIDTHS[right.typeId]];
  if (one === undefined || other === undefined) return undefined;
  const [type, half] = one[1] > other[1] ? one : other;
  const exact = `(CAST(${a} AS HUGEINT) ${name} CAST(${b} AS HUGEINT))`;
  return `CAST(((${exact} + ${half}) & ${2n * half - 1n}) - ${half} AS ${type})`;
}

interface Decimal {
  readonly width: number;
  readonly scale: number;
}

/** Arrow's decimal for a type; undefined for what does not divide as one. */
function decimalOf(type: DuckDBType): Decimal | undefined {
  if (type.typeId === DuckDBTypeId.DECIMAL) return type as DuckDBDecimalType;
  if (!isInteger(type)) return undefined;
  return { width: type.typeId === DuckDBTypeId.BIGINT || type.typeId === DuckDBTypeId.UBIGINT ? 20 : 10, scale: 0 };
}

/** Four digits more than the dividend has, the rest cut off: on whole numbers, exact. Undefined when neither is a decimal. */
function decimalDivision(a: string, left: DuckDBType, b: string, right: DuckDBType): string | undefined {
  const [dividend, divisor] = [decimalOf(left), decimalOf(right)];
  if (dividend === undefined || divisor === undefined) return undefined;
  const scale = Math.min(38, dividend.scale + 4);
  const width = Math.min(38, dividend.width - dividend.scale + divisor.scale + scale);
  const unscaled = (sql: string): string => `CAST(replace(CAST(${sql} AS VARCHAR), '.', '') AS HUGEINT)`;
  const quotient = `${unscaled(a)} * ${10n ** BigInt(scale - dividend.scale + divisor.scale)} // ${unscaled(b)}`;
  return `CAST(CAST(${quotient} AS VARCHAR) || 'e-${scale}' AS DECIMAL(${width}, ${scale}))`;
}

/** The result of two operands of known, common types. */
function resultType(a: string, b: string, scope: Scope): DuckDBType | undefined {
  const [left, right] = [scope.types.known(a), scope.types.known(b)];
  if (left === undefined || right === undefined) return undefined;
  if (left.typeId === DuckDBTypeId.BIGINT && right.typeId === DuckDBTypeId.BIGINT) return BIGINT;
  const number = (type: DuckDBType): boolean => isFloat(type) || isInteger(type);
  return [left, right].some((type) => type.typeId === DuckDBTypeId.DOUBLE) && number(left) && number(right) ? DOUBLE : undefined;
}
