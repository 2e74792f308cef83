/**
 * Figures over time, drawn by uPlot in the app's own colours. What is drawn is also there as a table, for those who do not
 * see the drawing or want the numbers.
 */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { THEME_EVENT } from "../shell/theme.tsx";

export interface Series {
  readonly label: string;
  readonly values: readonly number[];
}

const HEIGHT = 200;
/** Roles of colours, in the order of the series. */
const COLOURS = ["--accent", "--warn", "--danger", "--soft"] as const;

export function Chart({
  title,
  times,
  series,
  format,
  timeLabel,
}: {
  title: string;
  /** Milliseconds since the epoch, one for each value. */
  times: readonly number[];
  series: readonly Series[];
  format(value: number): string;
  timeLabel(time: number): string;
}) {
  const frame = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    let plot: uPlot | undefined;
    const draw = () => {
      plot?.destroy();
      plot = new uPlot(
        optionsOf(element, series, format),
        [times.map((time) => time / 1000), ...series.map(({ values }) => [...values])],
        element,
      );
    };
    draw();
    const resized = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    // A drawing keeps the colours that it was made with.
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", draw);
    window.addEventListener(THEME_EVENT, draw);
    return () => {
      resized.disconnect();
      system.removeEventListener("change", draw);
      window.removeEventListener(THEME_EVENT, draw);
      plot?.destroy();
    };
  }, [times, series, format]);

  return (
    <figure className="min-w-0 rounded-xl border border-line bg-surface p-4">
      <figcaption className="mb-2 flex flex-wrap items-center justify-between gap-x-4 gap-y-1 text-sm">
        <span className="font-semibold">{title}</span>
        <span className="flex flex-wrap gap-x-4">
          {series.map(({ label }, i) => (
            <span key={label} className="flex items-center gap-1.5 text-soft">
              <span aria-hidden="true" className="h-0.5 w-4 rounded-full" style={{ background: `var(${COLOURS[i]})` }} />
              {label}
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={frame} aria-hidden="true" className="overflow-hidden" />
      <details className="mt-1 text-sm">
        <summary className="w-fit text-xs text-soft hover:text-ink">Show the numbers</summary>
        <div className="mt-2 max-h-64 overflow-auto">
          <table aria-label={title} className="w-full text-left">
            <thead className="text-xs text-soft">
              <tr>
                <th scope="col" className="py-1 font-medium">
                  Time
                </th>
                {series.map(({ label }) => (
                  <th key={label} scope="col" className="py-1 text-right font-medium">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {times.map((time, row) => (
                <tr key={time} className="border-t border-line">
                  <td className="py-1">{timeLabel(time)}</td>
                  {series.map(({ label, values }) => (
                    <td key={label} className="py-1 text-right">
                      {format(values[row] ?? 0)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function optionsOf(element: HTMLElement, series: readonly Series[], format: (value: number) => string): uPlot.Options {
  // uPlot paints on a canvas, which knows no variables: an element resolves them.
  const colour = (role: string): string => {
    element.style.color = `var(${role})`;
    const resolved = getComputedStyle(element).color;
    element.style.color = "";
    return resolved;
  };
  const [soft, line] = [colour("--soft"), colour("--line")];
  const axis: uPlot.Axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false },
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(format) }],
    series: [
      {},
      ...series.map(({ label }, i): uPlot.Series => {
        const stroke = colour(COLOURS[i] ?? "--accent");
        return { label, stroke, width: 2, points: { show: false }, ...(series.length === 1 && { fill: colour("--accent-wash") }) };
      }),
    ],
  };
}
