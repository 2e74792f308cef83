/**
 * Runs in visitors' browsers: the visitor's choices in a cookie, the dialog that asks for them, the API around both, and the
 * events that wait for a yes.
 */
export function zarazConsent(page, presets, post) {
  const settings = page.consent;
  const QUEUE = "_zaraz-consent-queue";
  const QUEUE_MAX = 50;
  const YEAR_S = 365 * 24 * 3600;
  const ids = settings.purposes.map(({ id }) => id);
  const texts = {
    accept_all: {
      en: "Accept all",
      de: "Alle akzeptieren",
      fr: "Tout accepter",
      es: "Aceptar todo",
      it: "Accetta tutto",
      pt: "Aceitar tudo",
      nl: "Alles accepteren",
    },
    reject_all: {
      en: "Reject all",
      de: "Alle ablehnen",
      fr: "Tout refuser",
      es: "Rechazar todo",
      it: "Rifiuta tutto",
      pt: "Rejeitar tudo",
      nl: "Alles weigeren",
    },
    confirm_my_choices: {
      en: "Confirm my choices",
      de: "Auswahl bestätigen",
      fr: "Confirmer mes choix",
      es: "Confirmar mi selección",
      it: "Conferma le mie scelte",
      pt: "Confirmar as minhas escolhas",
      nl: "Mijn keuzes bevestigen",
    },
  };
  let boxes = {};
  let dialog;

  const choices = () => {
    const found = document.cookie.split("; ").find((part) => part.startsWith(`${settings.cookieName}=`));
    try {
      return JSON.parse(decodeURIComponent(found.slice(settings.cookieName.length + 1)));
    } catch {
      return {};
    }
  };
  const keepChoices = (chosen) => {
    const host = location.hostname;
    const { cookieDomain } = page;
    const domain = host === cookieDomain || host.endsWith(`.${cookieDomain}`) ? `; Domain=${cookieDomain}` : "";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const value = encodeURIComponent(JSON.stringify(chosen));
    // biome-ignore lint/suspicious/noDocumentCookie: the other interface is not in every browser, and not on plain HTTP
    document.cookie = `${settings.cookieName}=${value}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax${domain}${secure}`;
  };
  const known = (values) => Object.fromEntries(Object.entries(values).filter(([id]) => ids.includes(id)));
  const every = (value) => Object.fromEntries(ids.map((id) => [id, value]));

  function change(values) {
    keepChoices({ ...choices(), ...known(values) });
    boxes = { ...boxes, ...known(values) };
    render();
    document.dispatchEvent(new Event("zarazConsentChoicesUpdated"));
    sendQueued();
  }

  const queue = {
    read() {
      try {
        return JSON.parse(sessionStorage.getItem(QUEUE)) ?? [];
      } catch {
        return [];
      }
    },
    write(events) {
      try {
        sessionStorage.setItem(QUEUE, JSON.stringify(events.slice(-QUEUE_MAX)));
      } catch {
        // A browser that keeps nothing keeps no events either.
      }
    },
  };
  /** The event waits until there is a yes for one of the purposes. */
  const keep = ({ purposes: _before, ...event }, purposes) => {
    const open = purposes.filter((id) => choices()[id] !== true);
    queue.write([...queue.read(), { event, purposes }]);
    // The yes came while the event was on its way.
    if (open.length < purposes.length) sendQueued();
  };
  function sendQueued() {
    const granted = choices();
    const waiting = [];
    const due = [];
    for (const { event, purposes } of queue.read()) {
      const now = purposes.filter((id) => granted[id] === true);
      const later = purposes.filter((id) => granted[id] !== true);
      if (now.length > 0) due.push({ ...event, purposes: now });
      if (later.length > 0) waiting.push({ event, purposes: later });
    }
    queue.write(waiting);
    for (const event of due) post(event).catch((error) => console.error(error));
  }

  const language = () => [presets().__zarazConsentLanguage, ...settings.languages, settings.defaultLanguage, "en"].filter(Boolean);
  /** In the first language that there is a text in; "de-AT" is content with "de". */
  const said = (translations) => {
    for (const wanted of language()) {
      const tag = wanted.toLowerCase();
      const names = Object.keys(translations);
      const name =
        names.find((one) => one.toLowerCase() === tag) ?? names.find((one) => one.toLowerCase().split("-")[0] === tag.split("-")[0]);
      if (name !== undefined && translations[name] !== "") return translations[name];
    }
    return Object.values(translations)[0] ?? "";
  };
  const make = (tag, className, text = "") => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  };

  function render() {
    if (!dialog) return;
    const intro = make("div", "cf_consent-intro");
    intro.id = "cf_modal_title";
    intro.innerHTML = said(settings.intro);
    const list = make("div", "cf_consent-list");
    for (const { id, name, description } of settings.purposes) {
      const label = make("label", "cf_consent-element cf_consent-element__purpose");
      const box = make("input", "cf_consent-checkbox");
      box.type = "checkbox";
      box.name = id;
      box.checked = boxes[id] === true;
      box.addEventListener("change", () => {
        boxes[id] = box.checked;
      });
      label.append(box, make("strong", "cf_consent-name", said(name)), make("span", "cf_consent-description", said(description)));
      list.append(label);
    }
    const buttons = make("div", "cf_consent-buttons");
    buttons.id = "cf_consent-buttons";
    const button = (kind, key, act) => {
      const element = make("button", `cf_button cf_button--${kind}`, said({ ...texts[key], ...settings.buttons[key] }));
      element.type = "button";
      element.addEventListener("click", () => {
        act();
        close();
      });
      buttons.append(element);
    };
    button("accept", "accept_all", () => change(every(true)));
    button("reject", "reject_all", () => change(every(false)));
    button("save", "confirm_my_choices", () => change({ ...every(false), ...boxes }));
    dialog.lang = language()[0];
    dialog.replaceChildren(intro, list, buttons);
  }

  function open() {
    if (dialog || settings.purposes.length === 0) return;
    boxes = { ...every(false), ...known(choices()), ...boxes };
    const container = make("div", "cf_modal_container");
    dialog = make("dialog", "cf_modal");
    dialog.setAttribute("aria-labelledby", "cf_modal_title");
    dialog.addEventListener("keydown", ({ key }) => key === "Escape" && close());
    container.append(dialog);
    style();
    document.body.append(container);
    render();
    // The page can be used and read meanwhile: to choose is nobody's duty.
    dialog.show();
  }
  function close() {
    dialog?.parentElement?.remove();
    dialog = undefined;
  }

  /** As an adopted sheet, which a page's policy (CSP) has nothing against. */
  function style() {
    if (style.done) return;
    style.done = true;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`
      .cf_modal_container { position: fixed; inset: auto 0 0 0; z-index: 2147483000; display: flex; justify-content: center; pointer-events: none; }
      .cf_modal { pointer-events: auto; position: static; margin: 16px; padding: 24px; max-width: 560px; max-height: 80vh; overflow: auto; border: 0; border-radius: 10px; background: #fff; color: #1d1f24; font: 15px/1.5 system-ui, sans-serif; box-shadow: 0 8px 40px #0005; }
      .cf_consent-element { display: grid; grid-template-columns: auto 1fr; gap: 2px 10px; align-items: center; margin: 12px 0; }
      .cf_consent-description { grid-column: 2; color: #555a66; }
      .cf_consent-buttons { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 16px; }
      .cf_button { flex: 1; padding: 10px 14px; border: 1px solid #1d4ed8; border-radius: 6px; background: #fff; color: #1d4ed8; font: inherit; cursor: pointer; }
      .cf_button--accept { background: #1d4ed8; color: #fff; }
      .cf_button:focus-visible { outline: 3px solid #93b4fd; outline-offset: 2px; }
    `);
    const custom = new CSSStyleSheet();
    custom.replaceSync(settings.customCSS);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet, custom];
  }

  const api = {
    APIReady: true,
    get modal() {
      return dialog !== undefined;
    },
    set modal(shown) {
      if (shown) open();
      else close();
    },
    get purposes() {
      return Object.fromEntries(
        settings.purposes.map(({ id, name, description, order }) => [id, { id, order, name: said(name), description: said(description) }]),
      );
    },
    get: (id) => (ids.includes(id) ? choices()[id] === true : undefined),
    set: (values) => change(values),
    getAll: () => Object.fromEntries(ids.map((id) => [id, choices()[id] === true])),
    setAll: (value) => change(every(value)),
    getAllCheckboxes: () => ({ ...every(false), ...known(choices()), ...boxes }),
    setCheckboxes(values) {
      boxes = { ...api.getAllCheckboxes(), ...known(values) };
      render();
    },
    setAllCheckboxes: (value) => api.setCheckboxes(every(value)),
    sendQueuedEvents: sendQueued,
  };

  return {
    api,
    keep,
    render,
    /** Once there is a page to show something on. */
    start() {
      document.dispatchEvent(new Event("zarazConsentAPIReady"));
      const chosen = choices();
      if (!settings.hideModal && ids.some((id) => chosen[id] === undefined)) open();
      sendQueued();
    },
  };
}
