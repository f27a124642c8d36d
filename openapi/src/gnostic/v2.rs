//! The messages of `openapi.v2`: those parts that a Kubernetes document has.

use super::{Message, Named, Test, Type};
use Type::{Any, Anys, Flag, Integer, Many, Number, One, Text, Texts};

pub(super) static DOCUMENT: Message = Message::Fields(
    &[
        ("swagger", 1, Text),
        ("info", 2, One(&INFO)),
        ("paths", 8, One(&PATHS)),
        ("definitions", 9, One(&DEFINITIONS)),
        ("parameters", 10, One(&PARAMETER_DEFINITIONS)),
        ("security", 12, Many(&SECURITY_REQUIREMENT)),
        ("securityDefinitions", 13, One(&SECURITY_DEFINITIONS)),
    ],
    16,
);

static INFO: Message =
    Message::Fields(&[("title", 1, Text), ("version", 2, Text), ("description", 3, Text)], 7);

static PATHS: Message = Message::Named(2, One(&PATH_ITEM), Named::AllBut(1));

static PATH_ITEM: Message = Message::Fields(
    &[
        ("$ref", 1, Text),
        ("get", 2, One(&OPERATION)),
        ("put", 3, One(&OPERATION)),
        ("post", 4, One(&OPERATION)),
        ("delete", 5, One(&OPERATION)),
        ("options", 6, One(&OPERATION)),
        ("head", 7, One(&OPERATION)),
        ("patch", 8, One(&OPERATION)),
        ("parameters", 9, Many(&PARAMETERS_ITEM)),
    ],
    10,
);

static OPERATION: Message = Message::Fields(
    &[
        ("tags", 1, Texts),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Texts),
        ("consumes", 7, Texts),
        ("parameters", 8, Many(&PARAMETERS_ITEM)),
        ("responses", 9, One(&RESPONSES)),
        ("schemes", 10, Texts),
    ],
    13,
);

static REFERENCE: Message = Message::Fields(&[("$ref", 1, Text), ("description", 2, Text)], 0);

static PARAMETERS_ITEM: Message =
    Message::Either(&[(Test::HasReference, 2, One(&REFERENCE)), (Test::Always, 1, One(&PARAMETER))]);

static PARAMETER: Message =
    Message::Either(&[(Test::In("body"), 1, One(&BODY)), (Test::Always, 2, One(&NON_BODY))]);

static BODY: Message = Message::Fields(
    &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, One(&SCHEMA)),
    ],
    6,
);

static NON_BODY: Message =
    Message::Either(&[(Test::In("query"), 3, One(&QUERY)), (Test::In("path"), 4, One(&PATH))]);

static QUERY: Message = Message::Fields(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("uniqueItems", 20, Flag),
    ],
    23,
);

static PATH: Message = Message::Fields(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("uniqueItems", 19, Flag),
    ],
    22,
);

static PARAMETER_DEFINITIONS: Message = Message::Named(1, One(&PARAMETER), Named::All);

static RESPONSES: Message = Message::Named(1, One(&RESPONSE_VALUE), Named::AllBut(2));

static RESPONSE_VALUE: Message =
    Message::Either(&[(Test::HasReference, 2, One(&REFERENCE)), (Test::Always, 1, One(&RESPONSE))]);

static RESPONSE: Message = Message::Fields(&[("description", 1, Text), ("schema", 2, One(&SCHEMA_ITEM))], 5);

static SCHEMA_ITEM: Message = Message::Wrapped(1, One(&SCHEMA));

static DEFINITIONS: Message = Message::Named(1, One(&SCHEMA), Named::All);

static SCHEMA: Message = Message::Fields(
    &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Number),
        ("maximum", 7, Number),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Number),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Integer),
        ("minLength", 12, Integer),
        ("pattern", 13, Text),
        ("maxItems", 14, Integer),
        ("minItems", 15, Integer),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Integer),
        ("minProperties", 18, Integer),
        ("required", 19, Texts),
        ("enum", 20, Anys),
        ("additionalProperties", 21, One(&ADDITIONAL_PROPERTIES)),
        ("type", 22, One(&TYPE)),
        ("items", 23, One(&ITEMS)),
        ("allOf", 24, Many(&SCHEMA)),
        ("properties", 25, One(&PROPERTIES)),
        ("readOnly", 27, Flag),
        ("example", 30, Any),
    ],
    31,
);

static ADDITIONAL_PROPERTIES: Message =
    Message::Either(&[(Test::IsFlag, 2, Flag), (Test::Always, 1, One(&SCHEMA))]);

static TYPE: Message = Message::Wrapped(1, Text);

static ITEMS: Message = Message::Wrapped(1, One(&SCHEMA));

static PROPERTIES: Message = Message::Named(1, One(&SCHEMA), Named::All);

static SECURITY_REQUIREMENT: Message = Message::Named(1, One(&STRING_ARRAY), Named::All);

static STRING_ARRAY: Message = Message::Wrapped(1, Texts);

static SECURITY_DEFINITIONS: Message = Message::Named(1, One(&SECURITY_ITEM), Named::All);

static SECURITY_ITEM: Message = Message::Wrapped(2, One(&API_KEY));

static API_KEY: Message =
    Message::Fields(&[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)], 5);
