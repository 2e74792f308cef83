/** The binding type "r2_bucket": `env.NAME` is workerd's own R2 class over the protocol of `binding-protocol.ts`. */
import type { BindingCompiler, BindingConfig, CapabilityMint } from "../../kernel/product.ts";
import { findBucket } from "./buckets.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { type Jurisdiction, jurisdictions } from "./model.ts";

export function r2Binding(r2: R2, mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const { bucket, jurisdiction } = targetOf(binding);
      if ((await findBucket(r2, bucket, jurisdiction)) === undefined) {
        throw r2Error("bindingNotFound", `R2 bucket '${bucket}' not found. Please use a different name and try again.`);
      }
      return {
        type: "r2_bucket",
        name: binding.name,
        bucket_name: bucket,
        ...(jurisdiction !== "default" && { jurisdiction }),
      };
    },
    async compile(binding) {
      const { bucket, jurisdiction } = targetOf(binding);
      const service = `r2:${jurisdiction}:${bucket}`;
      // By name, as on the real service: a bucket made anew under the name is the binding's bucket.
      return {
        bindings: [{ name: binding.name, r2Bucket: service }],
        services: [mint.node(service, { bucket, jurisdiction })],
      };
    },
  };
}

function targetOf(binding: BindingConfig): { bucket: string; jurisdiction: Jurisdiction } {
  const { bucket_name: bucket, jurisdiction } = binding;
  return {
    bucket: typeof bucket === "string" ? bucket : "",
    jurisdiction: jurisdictions.find((known) => known === jurisdiction) ?? "default",
  };
}
