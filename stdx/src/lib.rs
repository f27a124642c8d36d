//! Small foundations every room may lean on: clock, ids, seeded randomness, backoff, bounded queues, limits.
