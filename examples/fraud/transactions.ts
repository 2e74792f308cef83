/** Card transactions as the tutorial makes them: few of them large or in odd places, and those more often fraud. */

export interface Transaction {
  readonly transaction_id: string;
  readonly user_id: number;
  readonly amount: number;
  readonly transaction_timestamp: string;
  readonly location: string;
  readonly merchant_category: string;
  readonly is_fraud: boolean;
}

const PLACES = ["NEW_YORK", "LOS_ANGELES", "CHICAGO", "MIAMI", "SEATTLE", "SAN FRANCISCO"];
const ODD_PLACES = ["UNKNOWN_LOCATION", "VPN_EXIT", "MARS", "BAT_CAVE"];
const TRADES = ["GROCERY", "GAS_STATION", "RESTAURANT", "RETAIL"];
const RISKY_TRADES = ["GAMBLING", "CRYPTO", "MONEY_TRANSFER", "GIFT_CARDS"];
const HOUR_MS = 3_600_000;

/** The same numbers for the same seed, from 0 up to 1 (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function transactions(total: number, seed: number, now: number): Transaction[] {
  const random = randomNumbers(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const between = (low: number, high: number): number => Math.round(100 * (low + random() * (high - low))) / 100;
  return Array.from({ length: total }, (_, i): Transaction => {
    const user = 1001 + Math.floor(random() * 999);
    const risky = user <= 1005;
    const amount = random() < 0.05 ? between(5000, 50_000) : random() < 0.03 ? between(0.01, 1) : between(10, 500);
    const location = risky && random() < 0.3 ? pick(ODD_PLACES) : pick(PLACES);
    const trade = random() < 0.1 ? pick(RISKY_TRADES) : pick(TRADES);
    const score =
      (amount > 2000 ? 0.4 : 0) +
      (amount < 1 ? 0.3 : 0) +
      (ODD_PLACES.includes(location) ? 0.5 : 0) +
      (RISKY_TRADES.includes(trade) ? 0.3 : 0) +
      (risky ? 0.2 : 0);
    return {
      transaction_id: `tx-${String(i).padStart(6, "0")}`,
      user_id: user,
      amount,
      transaction_timestamp: new Date(now - Math.floor(random() * 168) * HOUR_MS).toISOString(),
      location,
      merchant_category: trade,
      is_fraud: random() < Math.min(score, 0.8),
    };
  });
}
