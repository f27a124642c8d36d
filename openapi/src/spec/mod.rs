//! What both versions of OpenAPI say, before it is written in the form of one of them: paths with operations and
//! parameters (`path`, `parameter`), and the definitions of types (`definition`).

pub mod custom;
pub mod definition;
pub mod facts;
pub mod name;
pub mod operation;
pub mod parameter;
pub mod path;
pub mod service;

/// The two forms of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Flavor {
    /// A reference to a definition.
    pub fn reference(self, definition: &str) -> String {
        match self {
            Flavor::V2 => format!("#/definitions/{definition}"),
            Flavor::V3 => format!("#/components/schemas/{definition}"),
        }
    }
}
