/** What this product uses of a package that declares no types for it. */
declare module "ua-parser-js" {
  interface Named {
    readonly name?: string;
    readonly version?: string;
    readonly major?: string;
  }
  interface Parsed {
    readonly ua: string;
    readonly browser: Named;
    readonly engine: Named;
    readonly os: Named;
    readonly device: { readonly model?: string; readonly type?: string; readonly vendor?: string };
    readonly cpu: { readonly architecture?: string };
  }
  export default function parse(agent: string): Parsed;
}
