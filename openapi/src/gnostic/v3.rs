//! The messages of `openapi.v3`: those parts that a Kubernetes document has.

use super::{Message, Named, Test, Type};
use Type::{Any, Anys, Flag, Integer, Many, Number, One, Text, Texts};

pub(super) static DOCUMENT: Message = Message::Fields(
    &[
        ("openapi", 1, Text),
        ("info", 2, One(&INFO)),
        ("paths", 4, One(&PATHS)),
        ("components", 5, One(&COMPONENTS)),
    ],
    9,
);

static INFO: Message =
    Message::Fields(&[("title", 1, Text), ("description", 2, Text), ("version", 6, Text)], 7);

static PATHS: Message = Message::Named(1, One(&PATH_ITEM), Named::AllBut(2));

static PATH_ITEM: Message = Message::Fields(
    &[
        ("$ref", 1, Text),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("get", 4, One(&OPERATION)),
        ("put", 5, One(&OPERATION)),
        ("post", 6, One(&OPERATION)),
        ("delete", 7, One(&OPERATION)),
        ("options", 8, One(&OPERATION)),
        ("head", 9, One(&OPERATION)),
        ("patch", 10, One(&OPERATION)),
        ("parameters", 13, Many(&PARAMETER_OR_REFERENCE)),
    ],
    14,
);

static OPERATION: Message = Message::Fields(
    &[
        ("tags", 1, Texts),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("parameters", 6, Many(&PARAMETER_OR_REFERENCE)),
        ("requestBody", 7, One(&REQUEST_BODY_OR_REFERENCE)),
        ("responses", 8, One(&RESPONSES)),
    ],
    13,
);

static REFERENCE: Message =
    Message::Fields(&[("$ref", 1, Text), ("summary", 2, Text), ("description", 3, Text)], 0);

static PARAMETER_OR_REFERENCE: Message =
    Message::Either(&[(Test::HasReference, 2, One(&REFERENCE)), (Test::Always, 1, One(&PARAMETER))]);

static PARAMETER: Message = Message::Fields(
    &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("schema", 10, One(&SCHEMA_OR_REFERENCE)),
    ],
    14,
);

static REQUEST_BODY_OR_REFERENCE: Message =
    Message::Either(&[(Test::HasReference, 2, One(&REFERENCE)), (Test::Always, 1, One(&REQUEST_BODY))]);

static REQUEST_BODY: Message =
    Message::Fields(&[("description", 1, Text), ("content", 2, One(&MEDIA_TYPES)), ("required", 3, Flag)], 4);

static MEDIA_TYPES: Message = Message::Named(1, One(&MEDIA_TYPE), Named::All);

static MEDIA_TYPE: Message = Message::Fields(&[("schema", 1, One(&SCHEMA_OR_REFERENCE))], 5);

static RESPONSES: Message = Message::Named(2, One(&RESPONSE_OR_REFERENCE), Named::AllBut(3));

static RESPONSE_OR_REFERENCE: Message =
    Message::Either(&[(Test::HasReference, 2, One(&REFERENCE)), (Test::Always, 1, One(&RESPONSE))]);

static RESPONSE: Message = Message::Fields(&[("description", 1, Text), ("content", 3, One(&MEDIA_TYPES))], 5);

static COMPONENTS: Message =
    Message::Fields(&[("schemas", 1, One(&SCHEMAS)), ("securitySchemes", 7, One(&SECURITY_SCHEMES))], 10);

static SCHEMAS: Message = Message::Named(1, One(&SCHEMA_OR_REFERENCE), Named::All);

static SCHEMA_OR_REFERENCE: Message =
    Message::Either(&[(Test::HasReference, 2, One(&REFERENCE)), (Test::Always, 1, One(&SCHEMA))]);

static SCHEMA: Message = Message::Fields(
    &[
        ("nullable", 1, Flag),
        ("readOnly", 3, Flag),
        ("writeOnly", 4, Flag),
        ("example", 7, Any),
        ("deprecated", 8, Flag),
        ("title", 9, Text),
        ("multipleOf", 10, Number),
        ("maximum", 11, Number),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Number),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Integer),
        ("minLength", 16, Integer),
        ("pattern", 17, Text),
        ("maxItems", 18, Integer),
        ("minItems", 19, Integer),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Integer),
        ("minProperties", 22, Integer),
        ("required", 23, Texts),
        ("enum", 24, Anys),
        ("type", 25, Text),
        ("allOf", 26, Many(&SCHEMA_OR_REFERENCE)),
        ("oneOf", 27, Many(&SCHEMA_OR_REFERENCE)),
        ("anyOf", 28, Many(&SCHEMA_OR_REFERENCE)),
        ("not", 29, One(&SCHEMA)),
        ("items", 30, One(&ITEMS)),
        ("properties", 31, One(&SCHEMAS)),
        ("additionalProperties", 32, One(&ADDITIONAL_PROPERTIES)),
        ("default", 33, One(&DEFAULT)),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    36,
);

static ITEMS: Message = Message::Wrapped(1, One(&SCHEMA_OR_REFERENCE));

static ADDITIONAL_PROPERTIES: Message =
    Message::Either(&[(Test::IsFlag, 2, Flag), (Test::Always, 1, One(&SCHEMA_OR_REFERENCE))]);

/// Other defaults than scalars have no form in protobuf.
static DEFAULT: Message =
    Message::Either(&[(Test::IsNumber, 1, Number), (Test::IsFlag, 2, Flag), (Test::IsText, 3, Text)]);

static SECURITY_SCHEMES: Message = Message::Named(1, One(&SECURITY_SCHEME_OR_REFERENCE), Named::All);

static SECURITY_SCHEME_OR_REFERENCE: Message =
    Message::Either(&[(Test::HasReference, 2, One(&REFERENCE)), (Test::Always, 1, One(&SECURITY_SCHEME))]);

static SECURITY_SCHEME: Message =
    Message::Fields(&[("type", 1, Text), ("description", 2, Text), ("name", 3, Text), ("in", 4, Text)], 9);
