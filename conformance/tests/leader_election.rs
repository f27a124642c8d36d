//! Two processes on one etcd: one does the work, the other takes over when it is gone.

use conformance::{Etcd, Kubectl, Server, wait};

const LEASES: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

fn holder(kubectl: &Kubectl, lease: &str) -> String {
    let path = "jsonpath={.spec.holderIdentity}";
    kubectl.run(&format!("get lease {lease} -n kube-system -o {path}")).out.trim().to_owned()
}

/// Waits until both leases are held by somebody else than `before`.
fn new_holder(kubectl: &Kubectl, before: &str, secs: u64) -> String {
    let found = wait::until(secs, || {
        let holders = LEASES.map(|lease| holder(kubectl, lease));
        let all = holders.iter().all(|holder| !holder.is_empty() && holder != before);
        all.then(|| holders[0].clone())
    });
    found.unwrap_or_else(|| panic!("nobody takes over from {before:?} within {secs} s"))
}

fn pods(kubectl: &Kubectl) -> usize {
    kubectl.ok("get pods -l app=web -o name").lines().count()
}

#[test]
fn of_two_processes_on_one_etcd_one_works_and_the_other_takes_over() {
    let Some(etcd) = Etcd::start() else { return };
    let store = etcd.store();
    let start = || Server::start_with(&["--store", &store]);
    let mut one = start();
    let Some(kubectl) = Kubectl::new(&one) else { return };
    let first = new_holder(&kubectl, "", 20);
    let mut two = start();
    let kubectl = Kubectl::new(&two).unwrap_or_else(|| panic!("there was a kubectl"));
    kubectl.ok("create deployment web --image=web:1 --replicas=3");
    wait::until(20, || (pods(&kubectl) == 3).then_some(())).unwrap_or_else(|| panic!("{}", one.log()));
    // Who is killed cannot give its leases back: they must run out.
    one.kill();
    let second = new_holder(&kubectl, &first, 60);
    kubectl.ok("scale deployment web --replicas=5");
    wait::until(20, || (pods(&kubectl) == 5).then_some(())).unwrap_or_else(|| panic!("{}", two.log()));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(pods(&kubectl), 5, "nobody else makes pods");
    // Who is asked to stop gives them back: a third takes over long before they would run out.
    let three = start();
    let kubectl = Kubectl::new(&three).unwrap_or_else(|| panic!("there was a kubectl"));
    assert_eq!(LEASES.map(|lease| holder(&kubectl, lease)), [second.clone(), second.clone()]);
    assert!(two.stop("TERM").is_some_and(|status| status.success()), "{}", two.log());
    new_holder(&kubectl, &second, 10);
    kubectl.ok("scale deployment web --replicas=1");
    wait::until(20, || (pods(&kubectl) == 1).then_some(())).unwrap_or_else(|| panic!("{}", three.log()));
}
