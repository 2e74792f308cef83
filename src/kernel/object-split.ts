/**
 * How a gradual deployment shares a script's Durable Objects among its versions. An object's place between 0 and 100 comes
 * from its id alone; in the deployment's order, each version has a stretch as long as its percentage. So every object has
 * one version, and a version that grows at the same place in the order keeps those it has.
 */
export interface ObjectSplit {
  /** In the deployment's order; the percentages add up to 100. */
  readonly shares: readonly { readonly versionId: string; readonly percentage: number }[];
  /** The version whose objects' files stay where those of a single version lie. */
  readonly home: string;
}
