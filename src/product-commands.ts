/**
 * The one list of commands that products bring to the command line. A command talks to the running platform like any
 * client: its module must not load the product.
 */
import type { Command } from "./cli/command.ts";
import { tail as pipelinesTail } from "./products/pipelines/tail.command.ts";

export const productCommands: readonly Command[] = [pipelinesTail];
