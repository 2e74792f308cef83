/**
 * What products offer each other. A product lists the keys it needs; the kernel hands it the implementation of
 * whichever product provides it, or refuses to start naming both sides. The interfaces themselves are in `capabilities/`.
 */
import type { ContentCache, HtmlPages, ImageTransforms, Notifier, PageRenderer } from "./capabilities/content.ts";
import type { DurableObjects } from "./capabilities/durable-objects.ts";
import type { QueueSender } from "./capabilities/events.ts";
import type { MediaSessions } from "./capabilities/media.ts";
import type { ModelGateway, Models } from "./capabilities/models.ts";
import type { Objects, Tables } from "./capabilities/storage.ts";
import type { Telemetry } from "./capabilities/telemetry.ts";
import type { Dispatch, OwnedWorkers, UserWorkers } from "./capabilities/workers.ts";
import type { Certificates, CustomHostnames, Zones } from "./capabilities/zones.ts";

export type * from "./capabilities/content.ts";
export type * from "./capabilities/durable-objects.ts";
export type * from "./capabilities/events.ts";
export type * from "./capabilities/media.ts";
export type * from "./capabilities/models.ts";
export type * from "./capabilities/storage.ts";
export type * from "./capabilities/telemetry.ts";
export type * from "./capabilities/workers.ts";
export type * from "./capabilities/zones.ts";

export interface Capabilities {
  readonly objects: Objects;
  readonly tables: Tables;
  readonly dispatch: Dispatch;
  readonly durableObjects: DurableObjects;
  readonly contentCache: ContentCache;
  readonly customHostnames: CustomHostnames;
  readonly htmlPages: HtmlPages;
  readonly imageTransforms: ImageTransforms;
  readonly notifier: Notifier;
  readonly pageRenderer: PageRenderer;
  readonly queueSender: QueueSender;
  readonly telemetry: Telemetry;
  readonly userWorkers: UserWorkers;
  readonly zones: Zones;
  readonly mediaSessions: MediaSessions;
  readonly models: Models;
  readonly modelGateway: ModelGateway;
  readonly ownedWorkers: OwnedWorkers;
  readonly certificates: Certificates;
}
