/** Runs in visitors' browsers: for who has the debug key, a window of what each event made happen. */
export function zarazDebugger(zaraz) {
  const NAMES = ["zarazDebug", "zarazPreview"];
  let list;

  const keep = (name, value) => {
    // biome-ignore lint/suspicious/noDocumentCookie: the other interface is not in every browser, and not on plain HTTP
    document.cookie = `${name}=${encodeURIComponent(value)}; Path=/; SameSite=Lax${value === "" ? "; Max-Age=0" : ""}`;
  };
  const has = (name) => document.cookie.split("; ").some((part) => part.startsWith(`${name}=`));

  function open() {
    if (list) return;
    const host = document.createElement("div");
    host.id = "zaraz-debugger";
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`
      section { position: fixed; right: 12px; bottom: 12px; z-index: 2147483001; width: 420px; max-height: 60vh; overflow: auto; background: #10131a; color: #e7ebf3; font: 13px/1.5 ui-monospace, monospace; border-radius: 8px; box-shadow: 0 8px 40px #0007; }
      header { position: sticky; top: 0; display: flex; justify-content: space-between; padding: 10px 14px; background: #1b2030; }
      button { background: none; border: 1px solid #56607a; border-radius: 4px; color: inherit; font: inherit; cursor: pointer; }
      li { margin: 8px 0; } ol { margin: 0; padding: 8px 14px 8px 36px; } pre { margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere; color: #a9b4cc; }
    `);
    root.adoptedStyleSheets = [sheet];
    const section = document.createElement("section");
    const header = document.createElement("header");
    const close = document.createElement("button");
    close.textContent = "Close";
    close.addEventListener("click", () => zaraz.debug());
    header.append(has("zarazPreview") ? "Zaraz debugger (preview)" : "Zaraz debugger", close);
    list = document.createElement("ol");
    section.append(header, list);
    root.append(section);
    const show = () => document.body.append(host);
    if (document.body) show();
    else document.addEventListener("DOMContentLoaded", show);
  }

  return {
    start(key) {
      if (key === undefined) {
        const previewed = has("zarazPreview");
        for (const name of NAMES) keep(name, "");
        document.querySelector("#zaraz-debugger")?.remove();
        list = undefined;
        if (previewed) location.reload();
        return;
      }
      keep("zarazDebug", key);
      open();
    },
    preview(key) {
      for (const name of NAMES) keep(name, key);
      location.reload();
    },
    show(event, result) {
      open();
      const item = document.createElement("li");
      const name = document.createElement("strong");
      name.textContent = event.client.__zarazTrack || "(rule)";
      item.append(name);
      for (const { what, detail } of result.debug) {
        const line = document.createElement("pre");
        line.textContent = `${what}: ${typeof detail === "string" ? detail : JSON.stringify(detail)}`;
        item.append(line);
      }
      list.append(item);
    },
  };
}
