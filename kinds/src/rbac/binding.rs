//! What both sorts of role bindings share: the reference to the role, and the subjects it is given to.

use super::GROUP;
use crate::internal_form::internal_form;
use crate::{Column, Info, print, validation};
use api::{Fault, Path, Value, names};

/// Fills the group into `roleRef` and into subjects that are users or groups.
pub fn fill(obj: &mut Value) {
    if obj.str_at(&["roleRef", "apiGroup"]).is_empty() {
        obj.set(&["roleRef", "apiGroup"], GROUP);
    }
    for subject in obj.get_mut("subjects").and_then(Value::as_list_mut).into_iter().flatten() {
        let belongs = matches!(subject.str_at(&["kind"]), "User" | "Group");
        if belongs && subject.str_at(&["apiGroup"]).is_empty() {
            subject.set(&["apiGroup"], GROUP);
        }
    }
}

/// Faults of a binding whose role may be of these kinds.
pub fn faults(obj: &Value, role_kinds: &[&str], namespaced: bool) -> Vec<Fault> {
    let at = Path::new("roleRef");
    let name = obj.str_at(&["roleRef", "name"]);
    let mut faults = Vec::new();
    faults.extend(validation::one_of(obj.str_at(&["roleRef", "apiGroup"]), &[GROUP], &at.child("apiGroup")));
    faults.extend(validation::one_of(obj.str_at(&["roleRef", "kind"]), role_kinds, &at.child("kind")));
    if name.is_empty() {
        faults.push(Fault::required(at.child("name"), ""));
    } else {
        faults.extend(validation::texts(&at.child("name"), name, names::is_path_segment_name(name)));
    }
    for (i, subject) in obj.list_at(&["subjects"]).iter().enumerate() {
        faults.extend(subject_faults(subject, namespaced, &Path::new("subjects").index(i)));
    }
    faults
}

fn subject_faults(subject: &Value, namespaced: bool, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let name = subject.str_at(&["name"]);
    let group = subject.str_at(&["apiGroup"]);
    faults.extend(validation::required(name, &at.child("name")));
    match subject.str_at(&["kind"]) {
        "ServiceAccount" => {
            if !name.is_empty() {
                faults.extend(validation::dns_subdomain(name, &at.child("name")));
            }
            if !group.is_empty() {
                faults.push(Fault::not_supported(at.child("apiGroup"), group, &[""]));
            }
            if !namespaced {
                faults.extend(validation::required(subject.str_at(&["namespace"]), &at.child("namespace")));
            }
        }
        "User" | "Group" => faults.extend(validation::one_of(group, &[GROUP], &at.child("apiGroup"))),
        kind => {
            faults.extend(validation::one_of(kind, &["ServiceAccount", "User", "Group"], &at.child("kind")))
        }
    }
    faults
}

/// The fault of a change of `roleRef`.
pub fn role_ref_fault(new: &Value, old: &Value) -> Option<Fault> {
    let (new, old) = (new.get("roleRef"), old.get("roleRef"));
    (new != old).then(|| {
        Fault::invalid("roleRef", internal_form(new, "io.k8s.api.rbac.v1.RoleRef"), "cannot change roleRef")
    })
}

/// The table of a binding; `words` is how the wide columns call the kind.
pub fn columns(role: &str, words: &str) -> Vec<Column> {
    let wide = |name: &str| Column::text(name, "string", &format!("{name} in the {words}")).wide();
    vec![
        Column::name(),
        Column::text("Role", "string", role),
        Column::age(),
        wide("Users"),
        wide("Groups"),
        wide("ServiceAccounts"),
    ]
}

pub fn cells(obj: &Value, now: i64) -> Vec<Value> {
    let of_kind = |kind: &str, shown: &dyn Fn(&Value) -> String| {
        let subjects = obj.list_at(&["subjects"]).iter();
        subjects.filter(|s| s.str_at(&["kind"]) == kind).map(shown).collect::<Vec<_>>().join(", ")
    };
    let name = |s: &Value| s.str_at(&["name"]).to_owned();
    let account = |s: &Value| format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"]));
    vec![
        print::name(obj),
        format!("{}/{}", obj.str_at(&["roleRef", "kind"]), obj.str_at(&["roleRef", "name"])).into(),
        print::age(obj, now),
        of_kind("User", &name).into(),
        of_kind("Group", &name).into(),
        of_kind("ServiceAccount", &account).into(),
    ]
}

/// What both kinds' infos have in common.
pub fn info(info: Info) -> Info {
    info.names(crate::NameRule::PathSegment).creates_on_update()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn users_and_groups_get_the_group_and_accounts_do_not() {
        let mut obj = tree!({"roleRef": {"kind": "Role", "name": "r"},
                             "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]});
        fill(&mut obj);
        assert_eq!(obj.str_at(&["roleRef", "apiGroup"]), GROUP);
        assert_eq!(obj.list_at(&["subjects"])[0].str_at(&["apiGroup"]), GROUP);
        assert_eq!(obj.list_at(&["subjects"])[1].str_at(&["apiGroup"]), "");
    }

    #[test]
    fn a_bad_binding_is_told_all_its_faults() {
        let obj = tree!({"roleRef": {"apiGroup": "other", "kind": "Thing", "name": ""},
                         "subjects": [{"kind": "ServiceAccount", "name": "x"},
                                      {"kind": "User", "name": "", "apiGroup": GROUP}, {"kind": "Robot", "name": "r"}]});
        let texts: Vec<String> =
            faults(&obj, &["Role", "ClusterRole"], true).iter().map(Fault::to_string).collect();
        assert_eq!(
            texts,
            [
                "roleRef.apiGroup: Unsupported value: \"other\": supported values: \"rbac.authorization.k8s.io\"",
                "roleRef.kind: Unsupported value: \"Thing\": supported values: \"Role\", \"ClusterRole\"",
                "roleRef.name: Required value",
                "subjects[1].name: Required value",
                "subjects[2].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \
                 \"Group\"",
            ]
        );
    }

    #[test]
    fn subjects_stand_in_columns_by_kind() {
        let obj = tree!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"},
                         "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
                                      {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]});
        let cells = cells(&obj, 0);
        assert_eq!(cells[1], "Role/r".into());
        assert_eq!(cells[3..], ["u, v".into(), "".into(), Value::from("n/s")]);
    }
}
