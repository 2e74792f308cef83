/** The third stage: starts the products in order, each with its slice of the kernel, and collects what they bring. */
import { join } from "node:path";
import type { Capabilities } from "../capabilities.ts";
import { platformError } from "../errors.ts";
import type { BindingCompiler, BindingRegistry, KernelSlice, PlatformUrls, Product, RunningProduct } from "../product.ts";
import { type Boot, dataDirectory, SYSTEM_STATE } from "./boot.ts";
import type { State } from "./state.ts";
import type { Workerd } from "./workerd.ts";

interface ProductsOptions {
  readonly state: State;
  readonly workerd: Workerd;
  readonly urls: PlatformUrls;
  readonly api: KernelSlice["api"];
  readonly openProxy: KernelSlice["openProxy"];
  readonly certificateFor: KernelSlice["certificateFor"];
  /** Gets each product as soon as it runs: the next ones may call it. */
  readonly running: Map<string, RunningProduct>;
}

export async function startProducts(
  boot: Boot,
  { state, workerd, urls, api, openProxy, certificateFor, running }: ProductsOptions,
): Promise<void> {
  const { options, clock, order, onStop } = boot;
  const offered: Partial<Capabilities> = {};
  const compilers = new Map<string, BindingCompiler>();
  for (const product of order) {
    const { name } = product;
    const started = await product.start({
      log: options.log.scope(name),
      clock,
      config: options.config,
      meta: state.meta,
      blobs: state.blobs,
      leases: state.leases,
      journals: state.journals,
      secrets: state.secrets,
      accountId: state.who.accountId,
      directory: await dataDirectory(boot, name),
      systemDirectory: join(await dataDirectory(boot, SYSTEM_STATE), name),
      urls,
      auth: state.auth,
      audit: state.audit,
      mint: workerd.mint(name),
      runtime: workerd.runtime,
      bindings: registry(compilers),
      api,
      openProxy,
      certificateFor,
      system: (claims, request) => workerd.system.request(name, claims, request),
      get: capabilitiesFor(product, offered),
    });
    running.set(name, started);
    onStop(() => started.stop());
    Object.assign(offered, started.offers);
    for (const key of product.provides ?? []) {
      if (offered[key] === undefined) throw new Error(`Product "${name}" says that it provides "${key}", but does not offer it`);
    }
    for (const [type, compiler] of Object.entries(started.bindings ?? {})) compilers.set(type, compiler);
  }
}

/** Binding types of all products; a Worker may name one whose product starts later. */
const registry = (compilers: ReadonlyMap<string, BindingCompiler>): BindingRegistry => ({
  get(type) {
    const compiler = compilers.get(type);
    if (compiler === undefined)
      throw platformError("notImplemented", `Bindings of type "${type}" are not implemented by this version of Freehold`);
    return compiler;
  },
});

const capabilitiesFor =
  ({ name, needs }: Product, offered: Partial<Capabilities>): KernelSlice["get"] =>
  (capability) => {
    if (!needs?.includes(capability)) throw new Error(`Product "${name}" uses "${capability}" without listing it in "needs"`);
    return offered[capability] as NonNullable<(typeof offered)[typeof capability]>;
  };
