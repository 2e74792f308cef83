/** Short notes of what was done. Failures are not shown here: they stay where they happened. */
import { createContext, type ReactNode, useCallback, useContext, useState } from "react";
import { Icon } from "./icon.tsx";

const SHOWN_MS = 5_000;

const Context = createContext<(text: string) => void>(() => undefined);

export const useToast = (): ((text: string) => void) => useContext(Context);

export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly { id: string; text: string }[]>([]);
  const show = useCallback((text: string) => {
    const id = `${performance.now()} ${text}`;
    setToasts((shown) => [...shown, { id, text }]);
    setTimeout(() => setToasts((shown) => shown.filter((toast) => toast.id !== id)), SHOWN_MS);
  }, []);
  return (
    <Context value={show}>
      {children}
      <output className="pointer-events-none fixed inset-x-4 bottom-4 z-50 flex flex-col items-center gap-2">
        {toasts.map(({ id, text }) => (
          <span key={id} className="flex items-center gap-2 rounded-lg bg-ink px-4 py-2 text-sm text-canvas shadow-lg">
            <Icon name="check" />
            {text}
          </span>
        ))}
      </output>
    </Context>
  );
}
