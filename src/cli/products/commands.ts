/**
 * The one list of commands about single products. Like a product's pages of the dashboard, such a command is a client of the
 * running platform's API: it knows the product's interface and loads nothing of the product.
 */
import type { Command } from "../command.ts";
import { tail as pipelinesTail } from "./pipelines/tail.ts";
import { image as sandboxImage } from "./sandbox/image.ts";
import { tunnelRun } from "./workers-vpc/tunnel-run.ts";

export const productCommands: readonly Command[] = [pipelinesTail, sandboxImage, tunnelRun];
