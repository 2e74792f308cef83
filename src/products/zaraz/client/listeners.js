/** Runs in visitors' browsers: rules about what happens on the page, by `action`. `fire(id)` says that a rule is met. */
export function zarazListeners(rules, fire) {
  const tell = (id) => fire(id).catch((error) => console.error(error));
  const matching = (target, selector) => {
    try {
      return target.closest(selector);
    } catch {
      // No selector at all: nothing matches it.
      return null;
    }
  };

  const inPath = (target, expression) => {
    const type = XPathResult.ORDERED_NODE_SNAPSHOT_TYPE;
    try {
      const found = document.evaluate(expression, document, null, type, null);
      for (let i = 0; i < found.snapshotLength; i++) if (found.snapshotItem(i).contains(target)) return found.snapshotItem(i);
    } catch {
      // No expression at all.
    }
    return null;
  };

  const kinds = {
    clickListener(id, { selector, type, waitForTags }) {
      document.addEventListener(
        "click",
        (event) => {
          if (!(event.target instanceof Element)) return;
          const element = type === "xpath" ? inPath(event.target, selector) : matching(event.target, selector);
          if (element === null) return;
          const sent = tell(id);
          const link = event.target.closest("a[href]");
          const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
          if (!(waitForTags > 0) || link === null || !plain || (link.target !== "" && link.target !== "_self")) return;
          if (event.defaultPrevented || link.hasAttribute("download")) return;
          // The page stays until the event is sent, but no longer than it was told to.
          event.preventDefault();
          const pause = new Promise((resolve) => setTimeout(resolve, waitForTags));
          Promise.race([sent, pause]).then(() => location.assign(link.href));
        },
        true,
      );
    },
    elementVisibility(id, { selector }) {
      const seen = new IntersectionObserver((entries) => {
        if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
        stop();
        tell(id);
      });
      const look = () => {
        try {
          for (const element of document.querySelectorAll(selector)) seen.observe(element);
        } catch {
          stop();
        }
      };
      // Elements may come later.
      const added = new MutationObserver(look);
      const stop = () => {
        seen.disconnect();
        added.disconnect();
      };
      added.observe(document.documentElement, { childList: true, subtree: true });
      look();
    },
    scrollDepth(id, { positions }) {
      const left = String(positions)
        .split(",")
        .map((text) => text.trim())
        .filter((text) => /^\d+(\.\d+)?(px|%)?$/.test(text));
      const look = () => {
        const { scrollHeight } = document.documentElement;
        const depth = window.scrollY;
        const range = Math.max(1, scrollHeight - window.innerHeight);
        for (let i = left.length - 1; i >= 0; i--) {
          const value = Number.parseFloat(left[i]);
          const reached = left[i].endsWith("%") ? (depth / range) * 100 >= value : depth >= value;
          if (!reached) continue;
          left.splice(i, 1);
          tell(id);
        }
        if (left.length === 0) window.removeEventListener("scroll", look);
      };
      window.addEventListener("scroll", look, { passive: true });
      look();
    },
    formSubmission(id, { selector, validate }) {
      document.addEventListener(
        // A form that is not valid is never submitted, but somebody has tried.
        validate ? "submit" : "click",
        (event) => {
          if (!(event.target instanceof Element)) return;
          const button = event.target.closest("button, input[type=submit], input[type=image]");
          const form = validate ? event.target : button !== null && button.type !== "button" && button.type !== "reset" && button.form;
          if (!form || matching(form, selector) !== form) return;
          if (validate && !form.checkValidity()) return;
          tell(id);
        },
        true,
      );
    },
    timer(id, { interval, limit }) {
      let left = limit > 0 ? limit : Number.POSITIVE_INFINITY;
      const timer = setInterval(() => {
        if (--left <= 0) clearInterval(timer);
        tell(id);
      }, interval);
    },
    variableMatch(id, { variable, match }) {
      const timer = setInterval(() => {
        const value = variable.split(".").reduce((object, name) => object?.[name], window);
        if (String(value) !== match) return;
        clearInterval(timer);
        tell(id);
      }, 1000);
    },
  };
  for (const { id, action, settings } of rules) if (Object.hasOwn(kinds, action)) kinds[action](id, settings);
}
