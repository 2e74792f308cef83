export function Logo() {
  return (
    <span className="flex items-center gap-2.5 font-semibold tracking-tight">
      <svg viewBox="0 0 32 32" className="size-7" aria-hidden="true">
        <rect width="32" height="32" rx="8" fill="var(--accent)" />
        <path d="M7 25V13l9-6 9 6v12h-6v-7h-6v7z" fill="var(--accent-ink)" />
      </svg>
      Freehold
    </span>
  );
}
