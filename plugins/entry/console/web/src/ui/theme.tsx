// Light, dark, or the system's theme: one button, stored in localStorage.

import { useState } from "react";
import { Icon, type IconName } from "./icons";

type Theme = "auto" | "light" | "dark";

const KEY = "streamgate.theme";
const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const LOOK: Record<Theme, { icon: IconName; label: string }> = {
  auto: { icon: "auto", label: "Theme: system" },
  light: { icon: "sun", label: "Theme: light" },
  dark: { icon: "moon", label: "Theme: dark" },
};

export function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === "light" || stored === "dark" ? stored : "auto";
  } catch {
    return "auto";
  }
}

export function applyTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  const turn = () => {
    const next = NEXT[theme];
    setTheme(next);
    applyTheme(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Without storage it lasts as long as the page.
    }
  };
  const { icon, label } = LOOK[theme];
  return (
    <button type="button" className="button button-icon" aria-label={label} title={label} onClick={turn}>
      <Icon name={icon} />
    </button>
  );
}
