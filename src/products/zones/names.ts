/** What a host name is: labels of letters, digits and dashes, lower case. */
const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?";

/** A host name of at least two labels. */
export const HOST_NAME = new RegExp(`^(?=.{1,253}$)(?:${LABEL}\\.)+${LABEL}$`);
