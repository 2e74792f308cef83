/** Tells the account's webhooks of deployments: started, succeeded, failed. */
import type { Notifier } from "../../kernel/capabilities.ts";
import type { Log } from "../../kernel/log.ts";
import type { Deployment, Project } from "./model.ts";

/** The SDK's name of the alert. */
const ALERT = "pages_event_alert";

export type DeploymentEvent = "STARTED" | "SUCCESS" | "FAILED";

export type Notices = (project: Project, deployment: Deployment, event: DeploymentEvent) => void;

const WORDS = { STARTED: "has started", SUCCESS: "was successful", FAILED: "has failed" } as const;

/** `urlOf` gives where a deployment answers. */
export function deploymentNotices(notifier: Notifier, log: Log, urlOf: (project: Project, deployment: Deployment) => string): Notices {
  notifier.addAlerts("Pages", [
    { type: ALERT, display_name: "Project updates", description: "A deployment of a Pages project started, succeeded or failed." },
  ]);
  return (project, deployment, event) => {
    const { id, environment, branch, commit } = deployment;
    const url = urlOf(project, deployment);
    const name = `EVENT_DEPLOYMENT_${event}`;
    const text = `The deployment of ${project.name} to ${environment} ${WORDS[event]}.\nBranch: ${branch}\nCommit: ${commit.hash}\n${url}`;
    const data = {
      ...{ event: name, project_id: project.id, project_name: project.name, deployment_id: id, environment: environment.toUpperCase() },
      ...{ branch, commit_hash: commit.hash, url },
    };
    const facets = { event: name, project_id: project.id, environment: `ENVIRONMENT_${environment.toUpperCase()}` };
    // Nobody waits for it.
    notifier
      .notify(ALERT, { text, data, facets })
      .catch((error: unknown) => log.warn("deployment.notice_failed", { deployment: id, error }));
  };
}
