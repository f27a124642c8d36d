//! The types of a version of a custom kind, as server-side apply needs them: what is merged by item, and what as one.

use super::{Additional, Props};
use api::schema::{Field, ListKind, Scalar, Shape, Type, TypeId, builtin};
use api::{Schema, Str};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The schema of a version, with the type of its objects.
pub fn build(props: &Props) -> (Schema, TypeId) {
    let mut builder = Builder { schema: Schema::new(), count: 0 };
    let root = builder.structure(props, true);
    (builder.schema, root)
}

struct Builder {
    schema: Schema,
    count: usize,
}

impl Builder {
    /// A type with the properties of a schema, and with those that every resource has.
    fn structure(&mut self, props: &Props, is_resource: bool) -> TypeId {
        self.count += 1;
        // Any unique name that no built-in type has.
        let name: Str = format!("custom.{}", self.count).into();
        let mut fields = Vec::new();
        if is_resource {
            fields.push(Field::new("apiVersion", Shape::Scalar(Scalar::Str)));
            fields.push(Field::new("kind", Shape::Scalar(Scalar::Str)));
            if let Some(meta) = builtin().find(OBJECT_META) {
                let meta = self.import(meta);
                fields.push(Field::new("metadata", Shape::Struct(meta)));
            }
        }
        for (name, inner) in &props.properties {
            if !(is_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata")) {
                let field = self.field(name, inner, props.required.contains(name));
                fields.push(field);
            }
        }
        let ty = Type {
            name,
            fields,
            atomic: props.atomic_map,
            preserves_unknown: props.preserves_unknown,
            ..Type::default()
        };
        self.schema.add(ty)
    }

    fn field(&mut self, name: &Str, props: &Props, required: bool) -> Field {
        let shape = self.shape(props);
        let list = match props.list_type.as_str() {
            "set" => ListKind::Set,
            "map" => ListKind::Map(props.list_map_keys.clone()),
            _ => ListKind::Atomic,
        };
        let default = props.default.clone();
        Field { list, atomic: props.atomic_map, default, required, ..Field::new(name.clone(), shape) }
    }

    fn shape(&mut self, props: &Props) -> Shape {
        if props.int_or_string {
            return Shape::Scalar(Scalar::IntOrString);
        }
        let ty = props.types.first().map(|t| t.as_str()).unwrap_or_default();
        match (ty, &props.additional) {
            ("object", Additional::Of(inner)) => Shape::Map(Box::new(self.shape(inner))),
            ("object", _) => Shape::Struct(self.structure(props, props.embedded_resource)),
            ("array", _) => {
                Shape::List(Box::new(props.items.as_deref().map_or(Shape::Any, |items| self.shape(items))))
            }
            ("string", _) => Shape::Scalar(Scalar::Str),
            ("integer", _) => Shape::Scalar(Scalar::Int64),
            ("number", _) => Shape::Scalar(Scalar::Double),
            ("boolean", _) => Shape::Scalar(Scalar::Bool),
            _ => Shape::Any,
        }
    }

    /// A built-in type and all it refers to.
    fn import(&mut self, id: TypeId) -> TypeId {
        let ty = builtin().get(id);
        if let Some(known) = self.schema.find(&ty.name) {
            return known;
        }
        let own = self.schema.declare(&ty.name);
        let mut fields = Vec::with_capacity(ty.fields.len());
        for field in &ty.fields {
            fields.push(Field { shape: self.imported_shape(&field.shape), ..field.clone() });
        }
        let copy = Type {
            name: ty.name.clone(),
            fields,
            atomic: ty.atomic,
            preserves_unknown: ty.preserves_unknown,
            ..Type::default()
        };
        self.schema.define(own, copy);
        own
    }

    fn imported_shape(&mut self, shape: &Shape) -> Shape {
        match shape {
            Shape::Struct(id) => Shape::Struct(self.import(*id)),
            Shape::StructOr(id, other) => Shape::StructOr(self.import(*id), *other),
            Shape::List(items) => Shape::List(Box::new(self.imported_shape(items))),
            Shape::Map(values) => Shape::Map(Box::new(self.imported_shape(values))),
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn lists_and_maps_are_merged_as_they_say() {
        let props = Props::read(
            &tree!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string", "default": "d"}}}},
            "am": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "any": {"x-kubernetes-preserve-unknown-fields": true}}}}}),
        );
        let (schema, root) = build(&props);
        let Some(Shape::Struct(spec)) = schema.get(root).field("spec").map(|f| f.shape.clone()) else {
            panic!()
        };
        let field = |name: &str| schema.get(spec).field(name).unwrap().clone();
        assert_eq!(field("set").list, ListKind::Set);
        assert_eq!(field("map").list, ListKind::Map(vec!["k".into()]));
        assert!(field("am").atomic && matches!(field("am").shape, Shape::Map(_)));
        assert_eq!(field("any").shape, Shape::Any);
        let Some(Shape::Struct(meta)) = schema.get(root).field("metadata").map(|f| f.shape.clone()) else {
            panic!()
        };
        assert!(schema.get(meta).field("ownerReferences").is_some());
    }
}
