//! The arithmetic of a rollout: how many replicas each replica set of a deployment should have. Pure.

use super::revision::{self, DESIRED, MAX};
use api::{Value, int_or_string};

/// The replicas an object asks for.
pub fn replicas(object: &Value) -> i64 {
    object.i64_at(&["spec", "replicas"]).unwrap_or(1)
}

pub fn available(set: &Value) -> i64 {
    set.i64_at(&["status", "availableReplicas"]).unwrap_or(0)
}

/// The replicas that sets ask for together.
pub fn total<'a>(sets: impl IntoIterator<Item = &'a Value>) -> i64 {
    sets.into_iter().map(replicas).sum()
}

pub fn is_rolling(deployment: &Value) -> bool {
    deployment.str_at(&["spec", "strategy", "type"]) != "Recreate"
}

/// How many more than asked for there may be, and how many fewer available.
fn fenceposts(deployment: &Value) -> (i64, i64) {
    let part = |field: &str, up: bool| {
        let value = deployment.at(&["spec", "strategy", "rollingUpdate", field]);
        let scaled = value.map(|v| int_or_string::scaled(v, replicas(deployment), up));
        scaled.and_then(Result::ok).unwrap_or(0)
    };
    match (part("maxSurge", true), part("maxUnavailable", false)) {
        (0, 0) => (0, 1),
        posts => posts,
    }
}

pub fn max_surge(deployment: &Value) -> i64 {
    if is_rolling(deployment) { fenceposts(deployment).0 } else { 0 }
}

pub fn max_unavailable(deployment: &Value) -> i64 {
    if !is_rolling(deployment) || replicas(deployment) == 0 {
        return 0;
    }
    fenceposts(deployment).1.min(replicas(deployment))
}

/// The size of the new replica set while others have `all - own` replicas.
pub fn size_of_new(deployment: &Value, all: i64, own: i64) -> i64 {
    if !is_rolling(deployment) {
        return replicas(deployment);
    }
    let room = replicas(deployment) + max_surge(deployment) - all;
    if room <= 0 { own } else { own + room.min(replicas(deployment) - own) }
}

/// True when the new set has all its replicas, available.
pub fn is_saturated(deployment: &Value, new: Option<&Value>) -> bool {
    let wanted = replicas(deployment);
    new.is_some_and(|set| {
        revision::number(set, DESIRED) == Some(wanted) && replicas(set) == wanted && available(set) == wanted
    })
}

/// What old sets (oldest first) are scaled down to during a rolling update: unhealthy replicas go first, then as many
/// as stay available. Pairs of index and new size; sets that stay are left out.
pub fn scale_down(deployment: &Value, new: &Value, old: &[Value]) -> Vec<(usize, i64)> {
    let mut sizes: Vec<i64> = old.iter().map(replicas).collect();
    let min_available = replicas(deployment) - max_unavailable(deployment);
    let new_unavailable = replicas(new) - available(new);
    let mut room = sizes.iter().sum::<i64>() + replicas(new) - min_available - new_unavailable;
    if sizes.iter().all(|size| *size == 0) || room <= 0 {
        return Vec::new();
    }
    for (set, size) in old.iter().zip(&mut sizes) {
        let cut = (*size - available(set)).clamp(0, room);
        *size -= cut;
        room -= cut;
    }
    let up: i64 = old.iter().map(available).sum::<i64>() + available(new);
    let mut spare = up - min_available;
    for size in &mut sizes {
        let cut = (*size).min(spare).max(0);
        *size -= cut;
        spare -= cut;
    }
    let changed = old.iter().zip(&sizes).enumerate();
    changed.filter(|(_, (set, size))| replicas(set) != **size).map(|(i, (_, size))| (i, *size)).collect()
}

/// The sizes of active sets after a scaling in the middle of a rollout: what is added or taken is shared out in
/// proportion, and what is left over goes to the biggest.
pub fn proportional(deployment: &Value, active: &[Value]) -> Vec<(usize, i64)> {
    let allowed = if replicas(deployment) > 0 { replicas(deployment) + max_surge(deployment) } else { 0 };
    let to_add = allowed - total(active);
    let mut order: Vec<usize> = (0..active.len()).collect();
    let created = |i: &usize| active.get(*i).map_or("", |s| s.str_at(&["metadata", "creationTimestamp"]));
    let size = |i: &usize| active.get(*i).map_or(0, replicas);
    order.sort_by(|a, b| {
        let age = if to_add > 0 { created(b).cmp(created(a)) } else { created(a).cmp(created(b)) };
        size(b).cmp(&size(a)).then(age)
    });
    let mut added = 0;
    let mut sizes: Vec<(usize, i64)> = Vec::new();
    for i in order {
        let Some(set) = active.get(i) else { continue };
        let share = if to_add == 0 { 0 } else { proportion(deployment, set, to_add, added) };
        added += share;
        sizes.push((i, replicas(set) + share));
    }
    if let Some((_, biggest)) = sizes.first_mut() {
        *biggest = (*biggest + to_add - added).max(0);
    }
    sizes
}

fn proportion(deployment: &Value, set: &Value, to_add: i64, added: i64) -> i64 {
    if replicas(set) == 0 || to_add == added {
        return 0;
    }
    let (fraction, allowed) = (fraction(deployment, set), to_add - added);
    if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

/// How much a set should grow or shrink with its deployment.
fn fraction(deployment: &Value, set: &Value) -> i64 {
    if replicas(deployment) == 0 {
        return -replicas(set);
    }
    let before = match revision::number(set, MAX) {
        Some(before) if before > 0 => before,
        _ => deployment.i64_at(&["status", "replicas"]).unwrap_or(0),
    };
    if before == 0 {
        return 0;
    }
    let now = replicas(deployment) + max_surge(deployment);
    // Rounded half away from zero; all three are positive here.
    (2 * replicas(set) * now + before) / (2 * before) - replicas(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn deployment(replicas: i64) -> Value {
        tree!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}})
    }

    fn set(replicas: i64, available: i64, max: i64) -> Value {
        tree!({"metadata": {"annotations": {"deployment.kubernetes.io/max-replicas": max.to_string()}},
            "spec": {"replicas": replicas}, "status": {"availableReplicas": available}})
    }

    #[test]
    fn surge_rounds_up_and_unavailability_rounds_down() {
        assert_eq!((max_surge(&deployment(10)), max_unavailable(&deployment(10))), (3, 2));
        assert_eq!((max_surge(&deployment(1)), max_unavailable(&deployment(1))), (1, 0));
        assert_eq!(max_unavailable(&deployment(0)), 0);
        assert_eq!(max_surge(&deployment(0)), 0);
    }

    #[test]
    fn the_new_set_grows_into_the_room_that_surge_leaves() {
        assert_eq!(size_of_new(&deployment(10), 10, 0), 3);
        assert_eq!(size_of_new(&deployment(10), 13, 3), 3);
        assert_eq!(size_of_new(&deployment(10), 0, 0), 10);
        let recreate = tree!({"spec": {"replicas": 4, "strategy": {"type": "Recreate"}}});
        assert_eq!(size_of_new(&recreate, 9, 1), 4);
    }

    #[test]
    fn old_sets_shrink_only_as_far_as_enough_stay_available() {
        let d = deployment(10);
        assert_eq!(scale_down(&d, &set(0, 0, 13), &[set(10, 10, 13)]), [(0, 8)]);
        assert_eq!(scale_down(&d, &set(5, 0, 13), &[set(8, 8, 13)]), []);
        assert_eq!(scale_down(&d, &set(5, 5, 13), &[set(8, 8, 13)]), [(0, 3)]);
        // Of the first, three are unhealthy and go first.
        assert_eq!(scale_down(&d, &set(0, 0, 13), &[set(10, 7, 13)]), [(0, 8)]);
    }

    #[test]
    fn a_scaling_during_a_rollout_is_shared_in_proportion() {
        // 10 replicas (13 with surge) grow to 20 (25 with surge).
        let sizes = proportional(&deployment(20), &[set(8, 8, 13), set(5, 5, 13)]);
        assert_eq!(sizes, [(0, 15), (1, 10)]);
        let sizes = proportional(&deployment(0), &[set(8, 8, 13), set(5, 5, 13)]);
        assert_eq!(sizes, [(0, 0), (1, 0)]);
    }
}
