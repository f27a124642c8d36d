//! What the node keeps free, `--eviction-hard`: below it pods are evicted.

use super::Signal;
use api::Quantity;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// For each signal the least that must be left. A signal that is not named runs out without anybody minding.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionHard(BTreeMap<Signal, Least>);

#[derive(Clone, Debug, PartialEq)]
enum Least {
    Amount(Quantity),
    /// Percent of all there is.
    Percent(f32),
}

impl EvictionHard {
    /// What a machine that does more than run pods keeps free: its disk is also filled by others, and mostly.
    pub const SHARED_MACHINE: &str = "memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%,\
                                      imagefs.available<5%,imagefs.inodesFree<5%";
    /// Upstream's defaults.
    const DEFAULT: &str = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,\
                           imagefs.available<15%,imagefs.inodesFree<5%";

    /// The least that must be left of a capacity; 0 where nothing must.
    pub fn least(&self, signal: Signal, capacity: i64) -> i64 {
        match self.0.get(&signal) {
            None => 0,
            Some(Least::Amount(amount)) => amount.value(),
            // Parts are numbers of 32 bits, as upstream's are.
            Some(Least::Percent(percent)) => (capacity as f64 * f64::from(percent / 100.0)) as i64,
        }
    }
}

impl Default for EvictionHard {
    fn default() -> Self {
        Self::DEFAULT.parse().unwrap_or_else(|_| EvictionHard(BTreeMap::new()))
    }
}

impl FromStr for EvictionHard {
    type Err = String;

    /// `memory.available<100Mi,nodefs.available<10%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, least) = part.split_once('<').ok_or(format!("{part:?} is not SIGNAL<AMOUNT"))?;
            let signal = Signal::named(name).ok_or(format!("unknown eviction signal {name:?}"))?;
            if found.insert(signal, Least::parse(least)?).is_some() {
                return Err(format!("duplicate eviction signal {name:?}"));
            }
        }
        // As upstream: none and all of it both mean that nobody minds.
        found.retain(
            |_, least| !matches!(least, Least::Percent(percent) if *percent == 0.0 || *percent == 100.0),
        );
        Ok(EvictionHard(found))
    }
}

impl Least {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid eviction threshold {text:?}");
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().map_err(|_| wrong())?;
            return (0.0..=100.0).contains(&percent).then_some(Least::Percent(percent)).ok_or_else(wrong);
        }
        let amount = Quantity::parse(text).map_err(|error| format!("{}: {error}", wrong()))?;
        (amount.sign() > 0).then_some(Least::Amount(amount)).ok_or_else(wrong)
    }
}

impl fmt::Display for EvictionHard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (signal, least)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            match least {
                Least::Amount(amount) => write!(f, "{comma}{}<{amount}", signal.name())?,
                Least::Percent(percent) => write!(f, "{comma}{}<{percent}%", signal.name())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_parts_are_read() {
        let hard: EvictionHard = "memory.available<1Gi, nodefs.available<2.5%".parse().unwrap();
        assert_eq!(hard.least(Signal::Memory, 8 << 30), 1 << 30);
        assert_eq!(hard.least(Signal::NodeFs, 1000), 25);
        assert_eq!(hard.least(Signal::ImageFs, 1000), 0, "what is not named is not minded");
        assert_eq!(hard.to_string(), "memory.available<1Gi,nodefs.available<2.5%");
    }

    #[test]
    fn defaults_are_upstreams_and_a_shared_machine_is_fuller() {
        let hard = EvictionHard::default();
        assert_eq!(hard.to_string(), EvictionHard::DEFAULT);
        assert_eq!([Signal::NodeFs, Signal::ImageFs].map(|signal| hard.least(signal, 1000)), [100, 150]);
        let shared: EvictionHard = EvictionHard::SHARED_MACHINE.parse().unwrap();
        assert_eq!(shared.to_string(), EvictionHard::SHARED_MACHINE);
        assert_eq!([Signal::NodeFs, Signal::ImageFs].map(|signal| shared.least(signal, 1000)), [50, 50]);
    }

    #[test]
    fn nothing_and_everything_are_no_bounds() {
        let hard: EvictionHard = "nodefs.available<0%,imagefs.available<100%".parse().unwrap();
        assert_eq!(hard.to_string(), "");
        assert_eq!("".parse(), Ok(hard));
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |text: &str| text.parse::<EvictionHard>().unwrap_err();
        assert_eq!(refused("memory.available"), "\"memory.available\" is not SIGNAL<AMOUNT");
        assert_eq!(refused("pid.available<10%"), "unknown eviction signal \"pid.available\"");
        assert_eq!(refused("nodefs.available<101%"), "invalid eviction threshold \"101%\"");
        assert_eq!(refused("memory.available<-1"), "invalid eviction threshold \"-1\"");
        assert_eq!(refused("memory.available<0"), "invalid eviction threshold \"0\"");
        let twice = "memory.available<1Gi,memory.available<2Gi";
        assert_eq!(refused(twice), "duplicate eviction signal \"memory.available\"");
    }
}
