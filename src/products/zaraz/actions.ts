/** The actions of a tool. A file of its own, for the thread that plans events starts with nothing that it does not need. */
import type { Action, Tool } from "./model.ts";

/** Of a tool that has both members, `actions` counts and the older list does not. */
export const actionsOf = ({ actions, neoEvents }: Tool): [string, Action][] =>
  actions !== undefined ? Object.entries(actions) : (neoEvents ?? []).map((one, i) => [String(i), one]);
