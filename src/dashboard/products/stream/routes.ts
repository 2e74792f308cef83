/** Stream's pages. */
import { inputMetricsRoute, liveInputRoute } from "./live-input.tsx";
import { liveInputsRoute } from "./live-inputs.tsx";
import { videoRoute } from "./video.tsx";
import { videosRoute } from "./videos.tsx";

export const streamRoutes = [videosRoute, videoRoute, liveInputsRoute, liveInputRoute, inputMetricsRoute] as const;
