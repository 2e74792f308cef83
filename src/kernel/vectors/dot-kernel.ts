/**
 * Dot products of one 16-bit query with many rows of 8-bit numbers, sixteen at a time: a WebAssembly module of one loop,
 * written out here instruction by instruction. JavaScript has no vector instructions and takes some ten times as long.
 * Sums are exact; callers keep the query within 13 bits, so that 1,536 products fit 32.
 */

/** Rows and queries are padded with zeros to a multiple of this. */
export const LANES = 16;

/** Memory that the kernel works on, and the kernel. */
export interface DotKernel {
  /** Room for rows, in bytes. */
  readonly rows: Int8Array;
  readonly query: Int16Array;
  readonly sums: Int32Array;
  /** Writes to `sums` the products of `query` with the first `count` rows of `width` numbers each. */
  run(width: number, count: number): void;
}

/** The part of the global that is used; the compiler's libraries for Node have no types for it. */
interface WebAssemblyApi {
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Record<string, unknown> };
}

const QUERY_MAX = 4096;
const ROWS_BYTES = 256 * 1024;
const ROWS_MAX = ROWS_BYTES / LANES;
const PAGE_BYTES = 65_536;

/** Unsigned LEB128, as WebAssembly writes numbers. */
function leb(value: number): number[] {
  const low = value & 0x7f;
  return value < 0x80 ? [low] : [low | 0x80, ...leb(value >>> 7)];
}

const counted = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()];
const sized = (bytes: readonly number[]): number[] => [...leb(bytes.length), ...bytes];
const name = (text: string): number[] => sized([...Buffer.from(text, "latin1")]);
const section = (id: number, bytes: readonly number[]): number[] => [id, ...sized(bytes)];

const I32 = 0x7f;
const V128 = 0x7b;
const VOID = 0x40;
const END = 0x0b;
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const constant = (value: number): number[] => [0x41, value];
const ADD = [0x6a];
const SUBTRACT = [0x6b];
const LESS_UNSIGNED = [0x49];
const IS_ZERO = [0x45];
const branchIf = (depth: number): number[] => [0x0d, depth];
const branch = (depth: number): number[] => [0x0c, depth];
const block = (...body: readonly number[][]): number[] => [0x02, VOID, ...body.flat(), END];
const loop = (...body: readonly number[][]): number[] => [0x03, VOID, ...body.flat(), END];
const simd = (opcode: number): number[] => [0xfd, ...leb(opcode)];
const load16 = (offset: number): number[] => [...simd(0), 0, ...leb(offset)];
/** Eight signed bytes, widened to 16 bits each. */
const load8 = (offset: number): number[] => [...simd(1), 0, ...leb(offset)];
const ZEROS = [...simd(12), ...new Array<number>(16).fill(0)];
const lane = (index: number): number[] => [...simd(27), index];
const ADD_4 = simd(174);
/** Eight products, added in pairs to four sums. */
const DOT_8 = simd(186);
const STORE = [0x36, 2, 0];

/** (query, rows, width, count, sums): pointers and numbers. */
function program(): Uint8Array<ArrayBuffer> {
  const [query, row, width, count, sums, at, end, total] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
  const half = (offset: number): number[] => [...get(row), ...load8(offset), ...get(at), ...load16(2 * offset), ...DOT_8, ...ADD_4];
  const oneRow = loop(
    get(total),
    half(0),
    half(8),
    set(total),
    [...get(at), ...constant(32), ...ADD, ...set(at)],
    [...get(row), ...constant(16), ...ADD, ...set(row)],
    [...get(row), ...get(end), ...LESS_UNSIGNED, ...branchIf(0)],
  );
  const sum = [0, 1, 2, 3].flatMap((index) => [...get(total), ...lane(index), ...(index === 0 ? [] : ADD)]);
  const body = block(
    loop(
      [...get(count), ...IS_ZERO, ...branchIf(1)],
      [...ZEROS, ...set(total), ...get(query), ...set(at), ...get(row), ...get(width), ...ADD, ...set(end)],
      oneRow,
      [...get(sums), ...sum, ...STORE],
      [...get(sums), ...constant(4), ...ADD, ...set(sums), ...get(count), ...constant(1), ...SUBTRACT, ...set(count)],
      branch(0),
    ),
  );
  const locals = counted([
    [2, I32],
    [1, V128],
  ]);
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, counted([[0x60, ...counted([[I32], [I32], [I32], [I32], [I32]]), 0]])),
    ...section(2, counted([[...name("kernel"), ...name("memory"), 2, 0, 1]])),
    ...section(3, counted([[0]])),
    ...section(7, counted([[...name("dots"), 0, 0]])),
    ...section(10, counted([sized([...locals, ...body, END])])),
  ]);
}

export function dotKernel(): DotKernel {
  const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
  const rowsAt = QUERY_MAX * 2;
  const sumsAt = rowsAt + ROWS_BYTES;
  const pages = Math.ceil((sumsAt + ROWS_MAX * 4) / PAGE_BYTES);
  const memory = new Memory({ initial: pages, maximum: pages });
  const { exports } = new Instance(new Module(program()), { kernel: { memory } });
  const dots = exports.dots as (query: number, rows: number, width: number, count: number, sums: number) => void;
  return {
    rows: new Int8Array(memory.buffer, rowsAt, ROWS_BYTES),
    query: new Int16Array(memory.buffer, 0, QUERY_MAX),
    sums: new Int32Array(memory.buffer, sumsAt, ROWS_MAX),
    run: (width, count) => dots(0, rowsAt, width, count, sumsAt),
  };
}
