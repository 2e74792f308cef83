/** The playground: a Worker that is nowhere yet. Its code can be taken along in a link, and deployed under a name. */
import { createRoute, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { Button } from "../../../components/button.tsx";
import { FormDialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/form.tsx";
import { Failure, Loading, Page } from "../../../components/page.tsx";
import { useToast } from "../../../components/toast.tsx";
import { useAction } from "../../../platform/queries.ts";
import { ApiFailure, onAccount } from "../../../platform/rest.ts";
import { shellRoute } from "../../../shell/root.tsx";
import { SCRIPTS, type WorkerScript, workerPath } from "../api.ts";
import { uploadForm, type WorkerCode } from "./code.ts";
import { codeOfFragment, fragmentOf } from "./share.ts";
import { Workbench } from "./workbench.tsx";

export const playgroundRoute = createRoute({ getParentRoute: () => shellRoute, path: "/playground", component: Playground });

const beginning: WorkerCode = {
  main: "index.js",
  modules: [
    {
      name: "index.js",
      type: "application/javascript+module",
      content: `import page from "./page.html";

export default {
  fetch(request, env, ctx) {
    console.log("asked for", new URL(request.url).pathname);
    return new Response(page, { headers: { "content-type": "text/html" } });
  },
};
`,
    },
    {
      name: "page.html",
      type: "text/plain",
      content: `<!doctype html>
<title>A Worker</title>
<style>
  body { font: 1.1rem system-ui; margin: 4rem auto; max-width: 30rem; padding: 0 1rem }
</style>
<h1>It runs</h1>
<p>Change the code, and this page follows.</p>
`,
    },
  ],
};

/** Of a new Worker. The runtime knows no date after its own release. */
const COMPATIBILITY_DATE = "2026-11-01";

function Playground() {
  const [code, setCode] = useState<WorkerCode>();
  const [failure, setFailure] = useState<unknown>(null);
  const [deploying, setDeploying] = useState(false);
  const toast = useToast();

  useEffect(() => {
    const fragment = location.hash.slice(1);
    (fragment === "" ? Promise.resolve(beginning) : codeOfFragment(fragment))
      .catch((error: unknown) => {
        setFailure(error);
        return beginning;
      })
      .then((given) => setCode({ compatibilityDate: COMPATIBILITY_DATE, ...given }));
  }, []);

  const share = async () => {
    history.replaceState(history.state, "", `#${await fragmentOf(code as WorkerCode)}`);
    // Without TLS a browser gives pages no clipboard, except on this machine's own names.
    await navigator.clipboard?.writeText(location.href);
    toast(navigator.clipboard === undefined ? "The address of this page is the link" : "Link copied");
  };

  return (
    <Page title="Playground" lead="A Worker to try things with. Nothing of it is kept but what its link says.">
      <Failure error={failure} />
      {code === undefined ? (
        <Loading />
      ) : (
        <Workbench
          name="playground"
          code={code}
          onChange={setCode}
          actions={
            <>
              <Button onClick={() => void share()}>Copy link</Button>
              <Button onClick={() => setDeploying(true)}>Deploy</Button>
            </>
          }
        />
      )}
      {deploying && code && <DeployDialog code={code} onClose={() => setDeploying(false)} />}
    </Page>
  );
}

function DeployDialog({ code, onClose }: { code: WorkerCode; onClose(): void }) {
  const [name, setName] = useState("");
  const navigate = useNavigate();
  const deploy = useAction(
    async () => {
      const { result } = await onAccount<readonly WorkerScript[]>(SCRIPTS);
      if (result.some(({ id }) => id === name)) throw new ApiFailure(`There is a Worker ${name}; its own page has an editor.`, 409, -1);
      await onAccount(workerPath(name), { method: "PUT", raw: uploadForm(code) });
      await onAccount(`${workerPath(name)}/subdomain`, { method: "POST", body: { enabled: true, previews_enabled: true } });
    },
    { stale: [SCRIPTS], done: `${name} is deployed`, onDone: () => navigate({ to: "/workers/$worker", params: { worker: name } }) },
  );
  const valid = /^[a-z0-9_][a-z0-9_-]{0,62}$/.test(name);
  return (
    <FormDialog
      title="Deploy"
      submit="Deploy"
      busy={deploy.isPending}
      ready={valid}
      error={deploy.error}
      onSubmit={() => deploy.mutate()}
      onClose={onClose}
    >
      <TextField
        label="Name"
        hint="Of the new Worker: lowercase letters, digits, dashes and underscores."
        value={name}
        onChange={setName}
        autoFocus
      />
    </FormDialog>
  );
}
