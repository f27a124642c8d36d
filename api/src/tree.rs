//! `tree!`: trees written in Rust much like JSON.

/// A tree written in Rust much like JSON: `tree!({"kind": "Pod", "metadata": {"name": name}, "items": [1, 2]})`.
/// Values are literals, nested braces or brackets, or any expression that `Value::from` takes.
#[macro_export]
macro_rules! tree {
    ({ $($rest:tt)* }) => {{
        #[allow(unused_mut)]
        let mut map = $crate::Map::new();
        $crate::tree_entries!(map; $($rest)*);
        $crate::Value::Map(map)
    }};
    ([ $($rest:tt)* ]) => {{
        #[allow(unused_mut)]
        let mut list = $crate::Value::no_items();
        $crate::tree_items!(list; $($rest)*);
        $crate::Value::List(list)
    }};
    (null) => { $crate::Value::Null };
    ($value:expr) => { $crate::Value::from($value) };
}

/// The inside of a map of `tree!`.
#[doc(hidden)]
#[macro_export]
macro_rules! tree_entries {
    ($map:ident;) => {};
    ($map:ident; $key:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::tree!({ $($inner)* }));
        $($crate::tree_entries!($map; $($rest)*);)?
    };
    ($map:ident; $key:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::tree!([ $($inner)* ]));
        $($crate::tree_entries!($map; $($rest)*);)?
    };
    ($map:ident; $key:tt : null $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::Value::Null);
        $($crate::tree_entries!($map; $($rest)*);)?
    };
    ($map:ident; $key:tt : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::Value::from($value));
        $($crate::tree_entries!($map; $($rest)*);)?
    };
}

/// The inside of a list of `tree!`.
#[doc(hidden)]
#[macro_export]
macro_rules! tree_items {
    ($list:ident;) => {};
    ($list:ident; { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $list.push($crate::tree!({ $($inner)* }));
        $($crate::tree_items!($list; $($rest)*);)?
    };
    ($list:ident; [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $list.push($crate::tree!([ $($inner)* ]));
        $($crate::tree_items!($list; $($rest)*);)?
    };
    ($list:ident; $value:expr $(, $($rest:tt)*)?) => {
        $list.push($crate::Value::from($value));
        $($crate::tree_items!($list; $($rest)*);)?
    };
}
