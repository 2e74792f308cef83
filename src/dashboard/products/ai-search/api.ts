/** AI Search in the REST API: instances of the namespace `default`, as its pages show them. */
import type { Tone } from "../../components/page.tsx";

export const INSTANCES = "/ai-search/instances";
export const TOKENS = "/ai-search/tokens";
export const instancePath = (id: string): string => `${INSTANCES}/${encodeURIComponent(id)}`;
/** Items are read below the namespace as well; both paths are the same instance's. */
export const itemsPath = (id: string): string => `${instancePath(id)}/items`;
export const jobsPath = (id: string): string => `${instancePath(id)}/jobs`;

export interface Instance {
  readonly id: string;
  readonly namespace: string;
  readonly type: "r2" | "web-crawler" | null;
  readonly source: string | null;
  readonly status: "ready" | "indexing" | "paused";
  readonly paused: boolean;
  readonly embedding_model: string;
  readonly ai_search_model: string;
  readonly chunk_size: number;
  readonly chunk_overlap: number;
  readonly max_num_results: number;
  readonly score_threshold: number;
  readonly rewrite_query: boolean;
  readonly reranking: boolean;
  readonly cache: boolean;
  readonly system_prompt_ai_search: string | null;
  readonly sync_interval: number;
  readonly created_at: string;
  readonly last_activity: string;
}

export interface Statistics {
  readonly completed: number;
  readonly queued: number;
  readonly running: number;
  readonly outdated: number;
  readonly error: number;
  readonly skipped: number;
  readonly engine: { readonly vectorize: { readonly vectorsCount: number } };
}

export interface Item {
  readonly id: string;
  readonly key: string;
  readonly status: string;
  readonly error?: string;
  readonly chunks_count: number | null;
  readonly file_size: number | null;
}

export interface Job {
  readonly id: string;
  readonly source: string;
  readonly description?: string;
  readonly started_at?: string;
  readonly ended_at?: string;
  readonly end_reason?: string;
}

export interface JobLine {
  readonly id: number;
  readonly message: string;
  readonly message_type: number;
}

export interface Chunk {
  readonly id: string;
  readonly score: number;
  readonly text: string;
  readonly item: { readonly key: string };
}

export interface Metrics {
  readonly queries: readonly {
    readonly date: string;
    readonly kind: string;
    readonly queries: number;
    readonly empty: number;
    readonly cached: number;
    readonly average_ms: number;
  }[];
  readonly top_retrievals: readonly { readonly key: string; readonly count: number }[];
}

const TONES: Readonly<Record<string, Tone>> = {
  completed: "good",
  ready: "good",
  error: "bad",
  indexing: "warn",
  running: "warn",
  outdated: "warn",
};
export const toneOf = (status: string): Tone => TONES[status] ?? "plain";

/** Times of AI Search are UTC without saying so. */
export const timeOf = (text: string): string => `${text.replace(" ", "T")}Z`;

export const sourceOf = ({ type, source }: Instance): string => (type === null ? "uploads" : (source ?? ""));
