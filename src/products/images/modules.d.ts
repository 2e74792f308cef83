/** What this product uses of packages that declare no types for it. */
declare module "libheif-js/wasm-bundle.js" {
  interface HeifImage {
    get_width(): number;
    get_height(): number;
    /** `null` when the image cannot be decoded. */
    display(
      into: { data: Uint8ClampedArray; width: number; height: number },
      done: (into: { data: Uint8ClampedArray } | null) => void,
    ): void;
  }
  const libheif: { readonly HeifDecoder: new () => { decode(bytes: Uint8Array): HeifImage[] } };
  export default libheif;
}

declare module "opentype.js" {
  interface Font {
    readonly unitsPerEm: number;
    readonly ascender: number;
    readonly descender: number;
    getAdvanceWidth(text: string, size: number): number;
    getPath(text: string, x: number, y: number, size: number): { toPathData(decimals: number): string };
    toArrayBuffer(): ArrayBuffer;
  }
  const opentype: {
    parse(bytes: ArrayBuffer): Font;
    readonly Font: new (options: object) => Font;
    readonly Glyph: new (options: object) => object;
    readonly Path: new () => { moveTo(x: number, y: number): void; lineTo(x: number, y: number): void; close(): void };
  };
  export default opentype;
}
