//! The paths of a kind: which operations there are and what they take and give.

use super::name::{article, title, upper_first};
use super::operation::{Item, Operation, Payload};
use super::parameter::{Parameter, meta, of_options};
use super::{name, parameter};
use crate::describe::Descriptions;
use kinds::{Form, Info, Kind, Subresource, Verbs};

const ANY: &str = "*/*";
const BUILTIN: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const CUSTOM: [&str; 2] = ["application/json", "application/yaml"];
const STREAMS: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];
const APPLY: &str = "application/apply-patch+yaml";

/// Writes the paths of one kind at one version.
pub struct Paths<'a> {
    info: &'a Info,
    version: &'a str,
    custom: bool,
    descriptions: &'a Descriptions,
}

impl<'a> Paths<'a> {
    pub fn new(kind: &'a dyn Kind, version: &'a str, descriptions: &'a Descriptions) -> Self {
        Paths { info: kind.info(), version, custom: kind.stored_as_json(), descriptions }
    }

    /// All paths of the kind.
    pub fn items(&self) -> Vec<Item> {
        let base = root(&self.info.group, self.version);
        let plural = &self.info.plural;
        let scope = if self.info.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{scope}/{plural}");
        let single = format!("{collection}/{{name}}");
        let mut items = vec![
            (format!("{base}{collection}"), self.collection()),
            (format!("{base}{single}"), self.single()),
        ];
        if self.info.namespaced {
            items.push((format!("{base}/{plural}"), self.list(true).into_iter().collect()));
        }
        for sub in &self.info.subresources {
            let path = format!("{base}{single}/{}", sub.name);
            if is_proxy(sub) {
                items.push((format!("{path}/{{path}}"), self.connections(sub, true)));
            }
            items.push((path, self.subresource(sub)));
        }
        if !self.custom && self.info.verbs.has(Verbs::WATCH) {
            items.push((format!("{base}/watch{collection}"), vec![self.watch_list(false)]));
            items.push((format!("{base}/watch{single}"), vec![self.watch_one()]));
            if self.info.namespaced {
                items.push((format!("{base}/watch/{plural}"), vec![self.watch_list(true)]));
            }
        }
        let filled = items.into_iter().filter(|(_, operations)| !operations.is_empty());
        filled.map(|(path, operations)| Item::new(path, operations)).collect()
    }

    fn own(&self) -> String {
        definition(self.info, self.version, &self.info.kind, self.custom)
    }

    fn gvk(&self, kind: &str) -> Option<(String, String, String)> {
        Some((self.info.group.to_string(), self.version.to_owned(), kind.to_owned()))
    }

    /// An operation with what all of the kind have: `verb` and `rest` make its id.
    fn operation(
        &self,
        method: &'static str,
        action: &'static str,
        verb: &str,
        rest: &str,
        text: String,
    ) -> Operation {
        Operation {
            method,
            id: format!("{verb}{}{rest}", title(&self.info.group, self.version)),
            description: text,
            tag: name::tag(&self.info.group, self.version),
            action,
            kind: self.gvk(&self.info.kind),
            consumes: if self.custom { CUSTOM.to_vec() } else { vec![ANY] },
            produces: if self.custom { CUSTOM.to_vec() } else { BUILTIN.to_vec() },
            parameters: vec![Parameter::pretty()],
            ..Operation::default()
        }
    }

    /// `NamespacedPod` in ids.
    fn scoped(&self) -> String {
        let scope = if self.info.namespaced { "Namespaced" } else { "" };
        format!("{scope}{}", self.info.kind)
    }

    fn place(&self, operation: &mut Operation, name_of: Option<&str>) {
        if self.info.namespaced {
            operation.parameters.push(Parameter::namespace());
        }
        if let Some(kind) = name_of {
            operation.parameters.push(Parameter::object_name(kind));
        }
    }

    fn options(&self, name: &str) -> Vec<Parameter> {
        of_options(&meta(name), self.descriptions)
    }

    fn collection(&self) -> Vec<Operation> {
        let mut operations: Vec<Operation> = self.list(false).into_iter().collect();
        let kind = &self.info.kind;
        if self.info.verbs.has(Verbs::CREATE) {
            let text = format!("create{}{kind}", article(kind));
            let mut create = self.operation("post", "post", "create", &self.scoped(), text);
            create.parameters.extend(self.options("CreateOptions"));
            create.body = Some((self.own(), true));
            create.responses = answers(&["200", "201", "202"], &self.own());
            self.place(&mut create, None);
            operations.push(create);
        }
        if self.info.verbs.has(Verbs::DELETE_COLLECTION) {
            operations.push(self.delete_collection());
        }
        operations
    }

    fn delete_collection(&self) -> Operation {
        let text = format!("delete collection of {}", self.info.kind);
        let (verb, rest) = match self.custom {
            true => ("deletecollection", self.scoped()),
            false => ("delete", format!("Collection{}", self.scoped())),
        };
        let mut delete = self.operation("delete", "deletecollection", verb, &rest, text);
        let mut list = self.options("ListOptions");
        if !self.custom {
            list.retain(|p| !matches!(p.name.as_str(), "watch" | "allowWatchBookmarks"));
            delete.parameters.extend(self.options("DeleteOptions"));
            delete.body = Some((meta("DeleteOptions"), false));
        }
        delete.parameters.extend(list);
        delete.responses = answers(&["200"], &meta("Status"));
        self.place(&mut delete, None);
        delete
    }

    fn list(&self, everywhere: bool) -> Option<Operation> {
        if !self.info.verbs.has(Verbs::LIST) {
            return None;
        }
        let kind = &self.info.kind;
        let watches = self.info.verbs.has(Verbs::WATCH) && !self.custom;
        let text = format!("list {}objects of kind {kind}", if watches { "or watch " } else { "" });
        let rest = if everywhere { format!("{kind}ForAllNamespaces") } else { self.scoped() };
        let mut list = self.operation("get", "list", "list", &rest, text);
        list.parameters.extend(self.options("ListOptions"));
        if !self.custom {
            list.produces.extend(STREAMS);
        }
        let lists = definition(self.info, self.version, &self.info.list_kind, self.custom);
        list.responses = answers(&["200"], &lists);
        if !everywhere {
            self.place(&mut list, None);
        }
        Some(list)
    }

    fn single(&self) -> Vec<Operation> {
        let kind = &self.info.kind;
        let mut operations = self.lens("", &self.own(), self.gvk(kind), self.info.verbs);
        if self.info.verbs.has(Verbs::DELETE) {
            let text = format!("delete{}{kind}", article(kind));
            let mut delete = self.operation("delete", "delete", "delete", &self.scoped(), text);
            delete.parameters.extend(self.options("DeleteOptions"));
            delete.body = Some((meta("DeleteOptions"), false));
            // What is finalized first answers with the object while it stays, but says it would be a Status.
            let answers_object =
                self.info.delete_returns_object && self.info.find_subresource("finalize").is_none();
            let answer = if answers_object { self.own() } else { meta("Status") };
            delete.responses = answers(&["200", "202"], &answer);
            self.place(&mut delete, Some(kind));
            operations.push(delete);
        }
        operations
    }

    /// Reading and writing of the object, or of the part that a subresource shows.
    fn lens(
        &self,
        sub: &str,
        object: &str,
        gvk: Option<(String, String, String)>,
        verbs: Verbs,
    ) -> Vec<Operation> {
        let named = gvk.as_ref().map(|(.., kind)| kind.clone()).unwrap_or_default();
        let what = if sub.is_empty() { String::new() } else { format!(" {sub} of") };
        let rest = format!("{}{}", self.scoped(), upper_first(sub));
        let kind = &self.info.kind;
        let make = |method, verb: &str, text: &str, statuses: &[&'static str]| {
            let text = format!("{text}{what} the specified {kind}");
            let mut operation = self.operation(method, method, verb, &rest, text);
            operation.kind.clone_from(&gvk);
            operation.responses = answers(statuses, object);
            self.place(&mut operation, Some(&named));
            operation
        };
        let mut operations = Vec::new();
        if verbs.has(Verbs::GET) {
            let mut get = make("get", "read", "read", &["200"]);
            if self.custom {
                get.parameters.extend(self.options("GetOptions"));
            }
            operations.push(get);
        }
        if verbs.has(Verbs::UPDATE) {
            let mut put = make("put", "replace", "replace", &["200", "201"]);
            put.parameters.extend(self.options("UpdateOptions"));
            put.body = Some((object.to_owned(), true));
            operations.push(put);
        }
        if verbs.has(Verbs::PATCH) {
            let statuses: &[&str] = if self.custom { &["200"] } else { &["200", "201"] };
            let mut patch = make("patch", "patch", "partially update", statuses);
            patch.parameters.extend(self.options("PatchOptions"));
            patch.body = Some((meta("Patch"), true));
            patch.consumes = PATCHES[..if self.custom { 2 } else { 3 }].to_vec();
            patch.consumes.push(APPLY);
            operations.push(patch);
        }
        operations
    }

    fn subresource(&self, sub: &Subresource) -> Vec<Operation> {
        let (group, version) = match sub.group.as_str() {
            "" => (self.info.group.as_str(), self.version),
            group => (group, sub.version.as_str()),
        };
        let gvk = Some((group.to_owned(), version.to_owned(), sub.kind.to_string()));
        let object = if sub.kind == self.info.kind {
            self.own()
        } else {
            builtin_definition(group, version, &sub.kind)
        };
        match &sub.form {
            Form::Lens => self.lens(&sub.name, &object, gvk, sub.verbs),
            Form::Scale(_) if self.custom => {
                self.lens(&sub.name, &object, self.gvk(&self.info.kind), sub.verbs)
            }
            Form::Scale(_) => self.lens(&sub.name, &object, gvk, sub.verbs),
            Form::Command => vec![self.command(sub, &object, gvk)],
            Form::Stream if sub.kind == self.info.kind => vec![self.text(sub)],
            Form::Stream => self.connections(sub, false),
        }
    }

    fn command(&self, sub: &Subresource, object: &str, gvk: Option<(String, String, String)>) -> Operation {
        let kind = &self.info.kind;
        let text = format!("create {} of{}{kind}", sub.name, article(kind));
        let rest = format!("{}{}", self.scoped(), upper_first(&sub.name));
        let mut create = self.operation("post", "post", "create", &rest, text);
        create.kind = gvk;
        create.parameters.extend(self.options("CreateOptions"));
        create.body = Some((object.to_owned(), true));
        create.responses = answers(&["200", "201", "202"], object);
        self.place(&mut create, Some(&sub.kind));
        create
    }

    /// A stream of text (`log`).
    fn text(&self, sub: &Subresource) -> Operation {
        let text = format!("read {} of the specified {}", sub.name, self.info.kind);
        let rest = format!("{}{}", self.scoped(), upper_first(&sub.name));
        let mut read = self.operation("get", "get", "read", &rest, text);
        let options = format!("{}{}Options", self.info.kind, upper_first(&sub.name));
        read.parameters.extend(parameter::of_options(
            &builtin_definition(&self.info.group, self.version, &options),
            self.descriptions,
        ));
        read.produces.insert(0, "text/plain");
        read.responses = vec![("200", "OK", Payload::Text)];
        self.place(&mut read, Some(&self.info.kind));
        read
    }

    /// A connection in each method (`exec`, `proxy`).
    fn connections(&self, sub: &Subresource, with_path: bool) -> Vec<Operation> {
        let methods: &[&'static str] = match is_proxy(sub) {
            true => &["delete", "get", "head", "options", "patch", "post", "put"],
            false => &["get", "post"],
        };
        let options = builtin_definition(&self.info.group, self.version, &sub.kind);
        let suffix = if with_path { "WithPath" } else { "" };
        let connect = |method: &&'static str| {
            let text =
                format!("connect {} requests to {} of {}", method.to_uppercase(), sub.name, self.info.kind);
            let rest = format!("{}{}{}{suffix}", upper_first(method), self.scoped(), upper_first(&sub.name));
            let mut connect = self.operation(method, "connect", "connect", &rest, text);
            connect.kind = self.gvk(&sub.kind);
            connect.produces = vec![ANY];
            connect.parameters = parameter::of_options(&options, self.descriptions);
            if with_path {
                connect.parameters.push(Parameter::rest_of_path());
            }
            connect.responses = vec![("200", "OK", Payload::Text)];
            self.place(&mut connect, Some(&sub.kind));
            connect
        };
        methods.iter().map(connect).collect()
    }

    fn watch(&self, action: &'static str, rest: &str, text: String) -> Operation {
        let mut watch = self.operation("get", action, "watch", rest, text);
        watch.parameters.extend(self.options("ListOptions"));
        watch.produces.extend(STREAMS);
        watch.responses = answers(&["200"], &meta("WatchEvent"));
        watch
    }

    fn watch_list(&self, everywhere: bool) -> Operation {
        let kind = &self.info.kind;
        let text = format!(
            "watch individual changes to a list of {kind}. deprecated: use the 'watch' parameter with a list operation instead."
        );
        let rest =
            if everywhere { format!("{kind}ListForAllNamespaces") } else { format!("{}List", self.scoped()) };
        let mut watch = self.watch("watchlist", &rest, text);
        if !everywhere {
            self.place(&mut watch, None);
        }
        watch
    }

    fn watch_one(&self) -> Operation {
        let kind = &self.info.kind;
        let text = format!(
            "watch changes to an object of kind {kind}. deprecated: use the 'watch' parameter with a list operation instead, filtered to a single item with the 'fieldSelector' parameter."
        );
        let mut watch = self.watch("watch", &self.scoped(), text);
        self.place(&mut watch, Some(kind));
        watch
    }
}

/// A subresource that every method goes through.
fn is_proxy(sub: &Subresource) -> bool {
    sub.form == Form::Stream && sub.verbs.has(Verbs::DELETE)
}

/// `/api/v1`, `/apis/apps/v1`.
pub fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// The definition of a kind or its list, custom or built-in.
pub fn definition(info: &Info, version: &str, kind: &str, custom: bool) -> String {
    if custom {
        name::custom_definition(&info.group, version, kind)
    } else {
        builtin_definition(&info.group, version, kind)
    }
}

/// The definition of a built-in kind; the kind's own name when there is none.
pub fn builtin_definition(group: &str, version: &str, kind: &str) -> String {
    match api::schema::builtin_type(group, version, kind) {
        Some(id) => api::schema::builtin().get(id).name.to_string(),
        None => kind.to_owned(),
    }
}

fn answers(statuses: &[&'static str], definition: &str) -> Vec<(&'static str, &'static str, Payload)> {
    let text = |status: &str| match status {
        "201" => "Created",
        "202" => "Accepted",
        _ => "OK",
    };
    statuses.iter().map(|status| (*status, text(status), Payload::Object(definition.to_owned()))).collect()
}
