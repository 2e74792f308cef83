/** What other products show among a bucket's settings. R2's page takes the list from here and knows none of them. */
import type { ComponentType } from "react";
import { CatalogCard } from "./r2-data-catalog/card.tsx";

export const bucketCards: readonly ComponentType<{ jurisdiction: string; bucket: string }>[] = [CatalogCard];
