//! What names a value: a `Space` (the prefix of one resource, `/registry/pods/`) and the rest of the key
//! (`NS/NAME` or `NAME`). The full key, as the original keeps it in etcd, is the two put together.

use std::fmt;
use std::sync::Arc;

/// A point in the store's history. Starts at 1 in an empty store; every commit that changes something adds one.
pub type Revision = u64;

/// The prefix of one resource's keys, with its slash at the end. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(Arc<str>);

impl Space {
    /// A space for a prefix such as `/registry/pods/`. No space may be a prefix of another.
    pub fn new(prefix: impl Into<Arc<str>>) -> Self {
        Space(prefix.into())
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one value. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The resource's prefix.
    pub space: Space,
    /// What follows the prefix: `NS/NAME` or `NAME`.
    pub rest: Arc<str>,
}

impl Key {
    /// The key `rest` in `space`.
    pub fn new(space: &Space, rest: impl Into<Arc<str>>) -> Self {
        Key { space: space.clone(), rest: rest.into() }
    }

    /// The key as etcd has it.
    pub fn full(&self) -> String {
        let mut full = String::with_capacity(self.space.0.len() + self.rest.len());
        full.push_str(&self.space.0);
        full.push_str(&self.rest);
        full
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.space, self.rest)
    }
}

/// Which keys of a space a list or a watch is about.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// Every key.
    #[default]
    All,
    /// The keys whose rest begins so; `NS/` for a namespace.
    Prefix(Arc<str>),
    /// One key. A watch on one key is woken only for it.
    Key(Arc<str>),
}

impl Scope {
    /// The keys whose rest begins with `prefix`; everything, when it is empty.
    pub fn prefix(prefix: &str) -> Self {
        if prefix.is_empty() { Scope::All } else { Scope::Prefix(prefix.into()) }
    }

    /// The one key with this rest.
    pub fn key(rest: &str) -> Self {
        Scope::Key(rest.into())
    }

    /// Whether the key with this rest belongs to it.
    pub fn contains(&self, rest: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Prefix(prefix) => rest.starts_with(&**prefix),
            Scope::Key(key) => rest == &**key,
        }
    }

    /// The least rest that can belong to it.
    pub(crate) fn lower(&self) -> &str {
        match self {
            Scope::All => "",
            Scope::Prefix(text) | Scope::Key(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_key_is_the_space_and_the_rest() {
        let key = Key::new(&Space::new("/registry/pods/"), "default/web");
        assert_eq!(key.full(), "/registry/pods/default/web");
    }

    #[test]
    fn a_scope_of_one_key_does_not_contain_its_longer_neighbours() {
        assert!(Scope::key("a/b").contains("a/b"));
        assert!(!Scope::key("a/b").contains("a/bc"));
        assert!(Scope::prefix("a/").contains("a/bc"));
        assert_eq!(Scope::prefix(""), Scope::All);
    }
}
