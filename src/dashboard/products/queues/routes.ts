/** Queues' pages. */
import { messagesRoute } from "./messages.tsx";
import { queueRoute, settingsRoute } from "./queue.tsx";
import { queuesRoute } from "./queues.tsx";

export const queuesRoutes = [queuesRoute, queueRoute.addChildren([messagesRoute, settingsRoute])] as const;
