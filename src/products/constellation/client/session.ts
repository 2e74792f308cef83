/** Sessions (docs: Constellation, Client API): one model of a binding's project. The platform keeps it loaded between runs. */
import { Tensor } from "./tensor.ts";

/** A binding of the Worker: `env.PROJECT`. */
interface Project {
  fetch(path: string, init: RequestInit): Promise<Response>;
}

export interface SessionOptions {
  readonly extraHeaders?: Readonly<Record<string, string>>;
}

export type TensorsObject = Readonly<Record<string, Tensor>>;
export type RunOptions = SessionOptions;

export class InferenceSession {
  readonly binding: Project;
  readonly model: string;
  readonly options: SessionOptions;

  constructor(binding: Project, model: string, options: SessionOptions = {}) {
    this.binding = binding;
    this.model = model;
    this.options = options;
  }

  /** The outputs by their names. Throws `API returned {status}: {body}`. */
  async run(inputs: readonly Tensor[] | TensorsObject): Promise<Record<string, Tensor>> {
    const packed = new Response(JSON.stringify({ input: wireOf(inputs) })).body?.pipeThrough(new CompressionStream("gzip"));
    const response = await this.binding.fetch("/run", {
      method: "POST",
      headers: {
        ...{ "content-encoding": "gzip", "cf-consn-model-id": this.model, "cf-consn-routing-model": "default" },
        ...this.options.extraHeaders,
      },
      body: packed ?? null,
    });
    if (!response.ok) throw new Error(`API returned ${response.status}: ${await response.text()}`);
    const { result } = (await response.json()) as { result: Parameters<typeof Tensor.fromJSON>[0][] };
    return Object.fromEntries(result.map(Tensor.fromJSON).map((tensor, index) => [tensor.name ?? `output${index}`, tensor]));
  }
}

/** A session for one run. */
export const run = (
  binding: Project,
  model: string,
  inputs: readonly Tensor[] | TensorsObject,
  options: SessionOptions = {},
): Promise<Record<string, Tensor>> => new InferenceSession(binding, model, options).run(inputs);

function wireOf(inputs: readonly Tensor[] | TensorsObject): object[] {
  if (Array.isArray(inputs)) return inputs.map((tensor: Tensor) => tensor.toJSON());
  return Object.entries(inputs as TensorsObject).map(([name, tensor]) => ({ ...tensor.toJSON(), name }));
}
