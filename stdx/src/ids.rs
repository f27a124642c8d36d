//! Ids and randomness: UUIDs, the endings of generated names, jitter. From the system, or from a seed so that
//! a run can be repeated.

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The letters of generated names: no vowels, nothing that reads as another letter.
pub const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// How many letters `generateName` appends.
pub const NAME_SUFFIX_LEN: usize = 5;

/// A handle to a source of ids. Clones share it.
#[derive(Clone)]
pub struct Ids(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Ids {
    /// Unguessable, from the operating system.
    pub const fn system() -> Self {
        Ids(Source::System)
    }

    /// The same sequence for the same seed. For tests and simulation only: guessable.
    pub fn seeded(seed: u64) -> Self {
        Ids(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut dyn RngCore) -> T) -> T {
        match &self.0 {
            Source::System => draw(&mut rand::rng()),
            Source::Seeded(rng) => draw(&mut *rng.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Fills `bytes` with random ones.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill_bytes(bytes));
    }

    /// A version 4 UUID: `5f0c2c4e-6f3a-4d52-9a0e-0d1b2f6c7a88`.
    pub fn uuid(&self) -> String {
        let mut bytes = [0u8; 16];
        self.fill(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 0x0f] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// `len` letters of `NAME_LETTERS`.
    pub fn letters(&self, len: usize) -> String {
        self.with(|rng| {
            (0..len).map(|_| char::from(NAME_LETTERS[rng.random_range(0..NAME_LETTERS.len())])).collect()
        })
    }

    /// What `generateName` appends: five letters.
    pub fn name_suffix(&self) -> String {
        self.letters(NAME_SUFFIX_LEN)
    }

    /// A whole number from 0 up to, not including, `end`; 0 when `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.with(|rng| rng.random_range(0..end)) }
    }

    /// A fraction from 0 up to, not including, 1.
    pub fn fraction(&self) -> f64 {
        self.with(|rng| rng.random::<f64>())
    }
}

impl Default for Ids {
    fn default() -> Self {
        Ids::system()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Ids(system)",
            Source::Seeded(_) => "Ids(seeded)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_version_4_and_the_rfc_variant() {
        for ids in [Ids::system(), Ids::seeded(1)] {
            let uuid = ids.uuid();
            assert_eq!(uuid.len(), 36);
            assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
            assert!(uuid.chars().all(|c| c == '-' || c.is_ascii_hexdigit() && !c.is_ascii_uppercase()));
            assert_ne!(uuid, ids.uuid());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let draw = |seed| {
            let ids = Ids::seeded(seed);
            (ids.uuid(), ids.name_suffix(), ids.below(1_000_000))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn name_suffixes_are_five_unmistakable_letters() {
        let ids = Ids::seeded(3);
        for _ in 0..200 {
            let suffix = ids.name_suffix();
            assert_eq!(suffix.len(), 5);
            assert!(suffix.bytes().all(|b| NAME_LETTERS.contains(&b)), "{suffix}");
        }
    }

    #[test]
    fn draws_stay_in_their_range() {
        let ids = Ids::seeded(4);
        assert_eq!(ids.below(0), 0);
        assert!((0..500).all(|_| ids.below(3) < 3));
        assert!((0..500).all(|_| (0.0..1.0).contains(&ids.fraction())));
    }
}
