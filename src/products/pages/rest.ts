/** What the REST routes of Pages share: their paths and the permissions that they ask for. */
export const PROJECTS = "/accounts/:account/pages/projects";
export const PROJECT = `${PROJECTS}/:project`;
export const READ = ["Pages Read", "Pages Write"] as const;
export const WRITE = ["Pages Write"] as const;
