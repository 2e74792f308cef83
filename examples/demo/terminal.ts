/** What the demos print: steps with their time, a progress bar, a table. Plain lines when the output is not a terminal. */
const tty = process.stdout.isTTY === true;
const style = (code: number, text: string): string => (tty ? `\u001b[${code}m${text}\u001b[0m` : text);

export const bold = (text: string): string => style(1, text);
export const dim = (text: string): string => style(2, text);
export const green = (text: string): string => style(32, text);
export const red = (text: string): string => style(31, text);

export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** Runs one step and prints its name, how long it took, and what came out. */
export async function step<T>(name: string, work: () => Promise<T>, outcome: (value: T) => string = () => ""): Promise<T> {
  const startedAt = performance.now();
  if (tty) process.stdout.write(`  ${dim("…")} ${name}`);
  try {
    const value = await work();
    const detail = outcome(value);
    clearLine();
    say(`  ${green("✓")} ${name}${detail === "" ? "" : `: ${detail}`} ${dim(`(${seconds(performance.now() - startedAt)})`)}`);
    return value;
  } catch (error) {
    clearLine();
    say(`  ${red("✗")} ${name}`);
    throw error;
  }
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** A progress bar with rate and time left, redrawn in place on a terminal and printed every few seconds elsewhere. */
export function progress(name: string, total: number): { add(n: number): void; end(): void } {
  const startedAt = performance.now();
  const width = 28;
  const redrawMs = tty ? 100 : 5000;
  let done = 0;
  let drawnAt = startedAt;
  const draw = (): void => {
    const elapsed = (performance.now() - startedAt) / 1000;
    const rate = done / Math.max(elapsed, 0.001);
    const filled = Math.round((width * done) / total);
    const left = rate === 0 ? "" : `, ${Math.ceil((total - done) / rate)} s left`;
    const bar = `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
    const line = `  ${bar} ${Math.floor((100 * done) / total)} %  ${count(done)} events, ${count(Math.round(rate))}/s${done < total ? left : ""}`;
    clearLine();
    process.stdout.write(tty ? line : `${line}\n`);
  };
  return {
    add(n) {
      done += n;
      if (performance.now() - drawnAt < redrawMs) return;
      drawnAt = performance.now();
      draw();
    },
    end() {
      clearLine();
      const elapsed = performance.now() - startedAt;
      say(
        `  ${green("✓")} ${name}: ${count(done)} events at ${count(Math.round((done / elapsed) * 1000))}/s ${dim(`(${seconds(elapsed)})`)}`,
      );
    },
  };
}

export const count = (n: number): string => n.toLocaleString("en");

function clearLine(): void {
  if (tty) process.stdout.write("\r\u001b[2K");
}
