/** R2's pages. */
import { bucketRoute } from "./bucket.tsx";
import { bucketsRoute } from "./buckets.tsx";
import { metricsRoute } from "./metrics.tsx";
import { objectsRoute } from "./objects.tsx";
import { settingsRoute } from "./settings.tsx";

export const r2Routes = [bucketsRoute, bucketRoute.addChildren([objectsRoute, metricsRoute, settingsRoute])] as const;
