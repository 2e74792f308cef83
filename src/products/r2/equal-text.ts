import { timingSafeEqual } from "node:crypto";

/** Compares secrets without telling by its duration how much is right. */
export function equalText(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}
