// brand.ts: types that keep values apart which share a representation. Owns no values.

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Wall clock, in milliseconds since 1970. Stored and shown; orders nothing (P12). */
export type EpochMs = Brand<number, 'EpochMs'>;

/** This process's monotonic clock, in milliseconds. Deadlines and leases; never stored. */
export type MonotonicMs = Brand<number, 'MonotonicMs'>;
