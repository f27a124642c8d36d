//! Amounts of resources as numbers that can be compared: cpu in thousandths of a core, the others in their own units.

use api::resources::{self, Amounts as Quantities};
use api::{Str, Value};

/// What a container that asks for nothing is taken to use when nodes are scored: a tenth of a core and 200 MB.
const LEAST_MILLI_CPU: i64 = 100;
const LEAST_MEMORY: i64 = 200 * 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Huge pages and extended resources.
    pub scalars: Vec<(Str, i64)>,
}

impl Amounts {
    pub fn of(quantities: &Quantities) -> Self {
        let mut amounts = Amounts::default();
        for (name, quantity) in quantities {
            match name.as_str() {
                "cpu" => amounts.milli_cpu = quantity.milli(),
                "memory" => amounts.memory = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral_storage = quantity.value(),
                "pods" => {}
                _ => amounts.scalars.push((name.into(), quantity.value())),
            }
        }
        amounts
    }

    /// What a pod asks for: by its spec and by what its containers have got, with its overhead.
    pub fn of_pod(pod: &Value) -> Self {
        let mut requests = resources::requests(pod, true);
        resources::add(&mut requests, &resources::amounts(pod.at(&["spec", "overhead"])));
        Amounts::of(&requests)
    }

    /// The amount of any resource, cpu in thousandths.
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            _ => self.scalar(name),
        }
    }

    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.iter().find(|(n, _)| *n == *name).map_or(0, |(_, amount)| *amount)
    }

    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.ephemeral_storage == 0 && self.scalars.is_empty()
    }

    pub fn add(&mut self, other: &Amounts) {
        self.shift(other, 1);
    }

    pub fn sub(&mut self, other: &Amounts) {
        self.shift(other, -1);
    }

    /// Sums that are too large come round, so that taking away undoes adding.
    fn shift(&mut self, other: &Amounts, sign: i64) {
        let moved = |have: i64, by: i64| have.wrapping_add(by.wrapping_mul(sign));
        self.milli_cpu = moved(self.milli_cpu, other.milli_cpu);
        self.memory = moved(self.memory, other.memory);
        self.ephemeral_storage = moved(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalars {
            match self.scalars.iter_mut().find(|(n, _)| n == name) {
                Some((_, have)) => *have = moved(*have, *amount),
                None => self.scalars.push((name.clone(), moved(0, *amount))),
            }
        }
    }
}

/// Cpu and memory as scores see them: a container that asks for none counts as a small one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    pub milli_cpu: i64,
    pub memory: i64,
}

impl Scored {
    pub fn add(&mut self, other: Scored) {
        self.milli_cpu = self.milli_cpu.wrapping_add(other.milli_cpu);
        self.memory = self.memory.wrapping_add(other.memory);
    }

    pub fn sub(&mut self, other: Scored) {
        self.milli_cpu = self.milli_cpu.wrapping_sub(other.milli_cpu);
        self.memory = self.memory.wrapping_sub(other.memory);
    }

    pub fn of_pod(pod: &Value) -> Self {
        let mut padded = pod.clone();
        for list in ["containers", "initContainers"] {
            let containers = padded.at_mut(&["spec", list]).and_then(Value::as_list_mut);
            for container in containers.into_iter().flatten() {
                let requests = container.make_map(&["resources", "requests"]);
                requests.entry_or("cpu", || format!("{LEAST_MILLI_CPU}m").into());
                requests.entry_or("memory", || LEAST_MEMORY.into());
            }
        }
        let amounts = Amounts::of_pod(&padded);
        Scored { milli_cpu: amounts.milli_cpu, memory: amounts.memory }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_pod_asks_for_the_sum_of_its_containers_and_its_overhead() {
        let pod = tree!({"spec": {
            "containers": [{"resources": {"requests": {"cpu": "250m", "memory": "1Ki"}}}, {"resources": {"requests": {"x.io/gpu": "2"}}}],
            "overhead": {"cpu": "50m"}}});
        let asked = Amounts::of_pod(&pod);
        assert_eq!((asked.milli_cpu, asked.memory, asked.scalar("x.io/gpu")), (300, 1024, 2));
        let scored = Scored::of_pod(&pod);
        assert_eq!((scored.milli_cpu, scored.memory), (400, 1024 + LEAST_MEMORY));
        let mut sum = asked.clone();
        sum.add(&asked);
        sum.sub(&asked);
        assert_eq!(sum, asked);
    }
}
