/** Light, dark, or as the system says. Kept in the browser. */
import { useState } from "react";
import { IconButton } from "../components/button.tsx";
import { Icon, type IconName } from "../components/icon.tsx";

type Theme = "system" | "light" | "dark";

const KEY = "theme";
const order: readonly Theme[] = ["system", "light", "dark"];
const icons: Readonly<Record<Theme, IconName>> = { system: "screen", light: "sun", dark: "moon" };

const stored = (): Theme => order.find((theme) => theme === localStorage.getItem(KEY)) ?? "system";

/** Also told to charts, which are drawn and so do not follow by themselves. */
export const THEME_EVENT = "themechange";

export function applyTheme(theme = stored()): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  window.dispatchEvent(new Event(THEME_EVENT));
}

export function ThemeSwitch() {
  const [theme, setTheme] = useState(stored);
  const next = order[(order.indexOf(theme) + 1) % order.length] as Theme;
  const change = () => {
    localStorage.setItem(KEY, next);
    applyTheme(next);
    setTheme(next);
  };
  return (
    <IconButton label={`Colours: ${theme}. Switch to ${next}`} onClick={change}>
      <Icon name={icons[theme]} />
    </IconButton>
  );
}
