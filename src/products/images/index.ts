/** Images: pictures looked at and transformed for Workers, by the binding `images`. README.md says what is not there yet. */
import type { Product } from "../../kernel/product.ts";
import { imagesBinding, imagesServer } from "./binding.ts";

export const images = {
  name: "images",
  status: "experimental",
  async start(kernel) {
    const serve = imagesServer(kernel);
    return {
      bindings: { images: imagesBinding(kernel) },
      internal: (_claims, request, response) => serve(request, response),
      stop: async () => undefined,
    };
  },
} satisfies Product;
