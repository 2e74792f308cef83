/** A mistake in a query of the GraphQL Analytics API: its text is the answer's. */
export class QueryError extends Error {}
