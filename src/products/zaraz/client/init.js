/** Runs in visitors' browsers, first of all: defines `zaraz`, keeps what is called until the rest is there, and fetches it. */
export function zarazInit(settings) {
  if (window.zaraz?.init) return;
  if (document.currentScript?.dataset.topOnly !== undefined && window !== window.top) return;
  const nonce = document.currentScript?.nonce ?? "";
  const calls = [];
  const later =
    (name) =>
    (...args) =>
      new Promise((resolve, reject) => calls.push({ name, args, resolve, reject }));
  const zaraz = {
    init: { calls, nonce },
    track: later("track"),
    set: (...args) => void calls.push({ name: "set", args }),
    spaPageview: later("spaPageview"),
    debug: (...args) => void calls.push({ name: "debug", args }),
    preview: (...args) => void calls.push({ name: "preview", args }),
    showConsentModal: () => void calls.push({ name: "showConsentModal", args: [] }),
    consent: { APIReady: false },
  };
  if (settings.ecommerce) zaraz.ecommerce = later("ecommerce");
  if (settings.dataLayer) window.dataLayer = window.dataLayer ?? [];
  window.zaraz = zaraz;
  const script = document.createElement("script");
  script.src = settings.script;
  script.async = true;
  if (nonce !== "") script.nonce = nonce;
  document.head.append(script);
}
