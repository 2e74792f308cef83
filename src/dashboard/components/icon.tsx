/** The few drawings of the app, in the text's colour. They say nothing that is not also in words: hidden from screen readers. */

/** Strokes on a grid of 20 by 20. */
const paths = {
  bucket: "M3.5 5.5h13l-1.4 10a1.5 1.5 0 0 1-1.5 1.3H6.4a1.5 1.5 0 0 1-1.5-1.3zM3 5.5c0-1.4 3.1-2.5 7-2.5s7 1.1 7 2.5",
  key: "M12.5 3.5a4 4 0 1 1-3.6 5.8L3 15.2V17h2.5v-2H7.5v-2h2l.9-.9a4 4 0 0 0 2.1-8.6M13.5 6.5v.1",
  database:
    "M4 5.5c0-1.4 2.7-2.5 6-2.5s6 1.1 6 2.5v9c0 1.4-2.7 2.5-6 2.5s-6-1.1-6-2.5zM4 5.5C4 6.9 6.7 8 10 8s6-1.1 6-2.5M4 10c0 1.4 2.7 2.5 6 2.5s6-1.1 6-2.5",
  queue: "M3 5.5h14M3 9h9M3 12.5h14M3 16h9",
  stream: "M2.5 6.5c2.5-2 5 2 7.5 0s5 2 7.5 0M2.5 13.5c2.5-2 5 2 7.5 0s5 2 7.5 0",
  object: "M10 3 16.5 6.5v7L10 17l-6.5-3.5v-7zM3.5 6.5 10 10l6.5-3.5M10 10v7",
  worker: "m7 6-4 4 4 4M13 6l4 4-4 4M11.5 4l-3 12",
  container: "M3 6h14v8.5H3zM6.5 6v8.5M10 6v8.5M13.5 6v8.5",
  video: "M2.5 5.5h10v9h-10zM12.5 9l5-3v8l-5-3",
  call: "M3.5 4.5h13v8.5H9.3L6 16.2V13H3.5z",
  steps: "M3 4.5h5v4H3zM12 11.5h5v4h-5zM5.5 8.5v5H12M10 11.3l2 2.2-2 2.2",
  chart: "M3 17h14M5.5 14V9.5M10 14V4.5M14.5 14V7",
  home: "M3.5 9 10 3.5 16.5 9v7.5h-4.3v-4.4H7.8v4.4H3.5z",
  folder: "M2.5 5.5a1 1 0 0 1 1-1h4l1.8 2h7.2a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-13a1 1 0 0 1-1-1z",
  file: "M5 2.5h6.5L15 6v11.5H5zM11.5 2.5V6H15",
  lock: "M4.5 9h11v8h-11zM6.8 9V6.4a3.2 3.2 0 0 1 6.4 0V9",
  upload: "M10 13V3.5M6.3 7 10 3.3 13.7 7M3.5 13v3.5h13V13",
  download: "M10 3.5V13M6.3 9.3 10 13l3.7-3.7M3.5 13v3.5h13V13",
  trash: "M3.5 5.5h13M8 5.5V3.5h4v2M5 5.5l.8 11h8.4l.8-11M8.3 8.5v5M11.7 8.5v5",
  plus: "M10 4v12M4 10h12",
  copy: "M7 7h9v9.5H7zM4 13V3.5h9",
  check: "m4 10.5 4 4 8-9",
  close: "m5 5 10 10M15 5 5 15",
  menu: "M3 5.5h14M3 10h14M3 14.5h14",
  alert: "M10 3 2.5 16.5h15zM10 8v4M10 14.3v.2",
  sun: "M10 6.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4M10 2.5v1.6M10 15.9v1.6M2.5 10h1.6M15.9 10h1.6M4.7 4.7l1.1 1.1M14.2 14.2l1.1 1.1M15.3 4.7l-1.1 1.1M5.8 14.2l-1.1 1.1",
  moon: "M16.5 12A7 7 0 1 1 8 3.5a5.6 5.6 0 0 0 8.5 8.5",
  screen: "M2.5 4h15v10h-15zM7 17h6M10 14v3",
  search: "M8.8 3.3a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M12.8 12.8 17 17",
  refresh: "M16 10a6 6 0 1 1-1.8-4.3M16.2 3v3.4h-3.4",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, className = "size-4" }: { name: IconName; className?: string }) {
  return (
    <svg
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      className={`shrink-0 ${className}`}
    >
      <path d={paths[name]} />
    </svg>
  );
}
