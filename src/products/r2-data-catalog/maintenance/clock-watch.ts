/**
 * Whether the clock can be trusted to say how old a snapshot is. A clock that is set forward makes everything old at once;
 * then expiration waits for a day, in which an operator can set it right. A clock set back makes snapshots younger, which
 * deletes nothing.
 */

/** Forward by more than the time that passed, while the platform runs. */
const LEAP_MS = 6 * 3_600_000;
/** Since the last run, over a stop of the platform: as long as many a machine is switched off. */
const ABSENCE_MS = 7 * 86_400_000;
const HOLD_MS = 86_400_000;

export class ClockWatch {
  #wall: number;
  #steady: number;
  #heldUntil = Number.NEGATIVE_INFINITY;

  /** Times in milliseconds: `wall` since the epoch, `steady` of a clock that nobody sets. `lastSeen` is of an earlier process. */
  constructor(wall: number, steady: number, lastSeen: number | undefined) {
    this.#wall = wall;
    this.#steady = steady;
    if (lastSeen !== undefined && wall - lastSeen > ABSENCE_MS) this.#heldUntil = steady + HOLD_MS;
  }

  /** To be called now and then; true when ages can be trusted. */
  trusts(wall: number, steady: number): boolean {
    if (wall - this.#wall - (steady - this.#steady) > LEAP_MS) this.#heldUntil = steady + HOLD_MS;
    this.#wall = wall;
    this.#steady = steady;
    return steady >= this.#heldUntil;
  }
}
