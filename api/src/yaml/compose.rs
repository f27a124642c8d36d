//! Tokens to nodes: anchors are tied, nothing is interpreted.

use super::Error;
use crate::json::MAX_TREE_DEPTH;
use libyaml_safer::{Encoding, ErrorKind, Event, EventData, Mark, Parser, ScalarStyle};
use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

/// One node of the document, with the line it begins on (from zero).
pub struct Node {
    pub line: u64,
    pub kind: Kind,
}

/// Key and value.
pub type Pair = (Rc<Node>, Rc<Node>);

pub enum Kind {
    Scalar {
        text: String,
        /// In its long form; "" when untagged.
        tag: String,
        /// Plain and without a tag.
        implicit: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<Pair>),
    Alias(Rc<Node>),
    /// An alias inside of the node it names.
    Circle(String),
}

/// The first document; nothing when there is none.
///
/// The tokeniser panics where a block scalar or a backslash meets the end of the text, so that such texts are
/// given a line end, and on one malformed tag (`!,` in a flow collection), which is refused here in the words
/// that the Go library has for it.
pub fn compose(text: &[u8]) -> Result<Option<Rc<Node>>, Error> {
    let text = &*utf8(text)?;
    let delicate = !text.ends_with(b"\n") && text.iter().any(|b| matches!(b, b'|' | b'>' | b'\\'));
    let whole =
        if delicate || text.is_empty() { Cow::Owned([text, b"\n"].concat()) } else { Cow::Borrowed(text) };
    let composed = std::panic::catch_unwind(|| {
        let mut input: &[u8] = &whole;
        let mut parser = Parser::new();
        // Left to find out, it takes a text that begins with a byte of a mark for a broken one.
        parser.set_encoding(Encoding::Utf8);
        parser.set_input_string(&mut input);
        let end = (whole.len() > text.len()).then_some(text.len() as u64);
        document(Composer { parser, anchors: HashMap::new(), end })
    });
    composed.unwrap_or_else(|_| Err(Error::new("did not find expected whitespace or line break")))
}

/// A text without its byte order mark, and one in UTF-16, which the mark tells, as UTF-8: the tokeniser does neither
/// well.
fn utf8(text: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let unit: fn([u8; 2]) -> u16 = match text {
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xEF, 0xBB, 0xBF, rest @ ..] => return Ok(Cow::Borrowed(rest)),
        _ => return Ok(Cow::Borrowed(text)),
    };
    let (pairs, rest) = text[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::new("incomplete UTF-16 character"));
    }
    let decoded: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    let wrong = |error: std::char::DecodeUtf16Error| match error.unpaired_surrogate() {
        0xDC00..=0xDFFF => Error::new("unexpected low surrogate area"),
        _ => Error::new("expected low surrogate area"),
    };
    Ok(Cow::Owned(decoded.map_err(wrong)?.into_bytes()))
}

fn document(mut composer: Composer<'_, '_>) -> Result<Option<Rc<Node>>, Error> {
    loop {
        let event = composer.next()?;
        match event.data {
            EventData::StreamStart { .. } => {}
            EventData::DocumentStart { .. } => {
                let first = composer.next()?;
                let node = composer.node(first, 0)?;
                // The document has to end well; what follows is not looked at.
                composer.next()?;
                return Ok(Some(node));
            }
            _ => return Ok(None),
        }
    }
}

struct Composer<'r, 'b> {
    parser: Parser<&'b mut &'r [u8]>,
    /// By name; nothing while the node is being read.
    anchors: HashMap<String, Option<Rc<Node>>>,
    /// Where the text ended before it was given a line end.
    end: Option<u64>,
}

impl Composer<'_, '_> {
    fn next(&mut self) -> Result<Event, Error> {
        self.parser.parse().map_err(|e| refusal(&e))
    }

    fn node(&mut self, event: Event, depth: usize) -> Result<Rc<Node>, Error> {
        if depth > MAX_TREE_DEPTH {
            return Err(Error::new("exceeded max depth of 10000"));
        }
        let line = event.start_mark.line;
        let (anchor, kind) = match event.data {
            EventData::Alias { anchor } => match self.anchors.get(&anchor) {
                Some(Some(node)) => (None, Kind::Alias(node.clone())),
                Some(None) => (None, Kind::Circle(anchor)),
                None => return Err(Error::new(format_args!("unknown anchor '{anchor}' referenced"))),
            },
            EventData::Scalar { anchor, tag, mut value, plain_implicit, style, .. } => {
                let tag = tag.unwrap_or_default();
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if block && self.end.is_some_and(|end| event.end_mark.index > end) && value.ends_with('\n') {
                    value.pop();
                }
                (anchor, Kind::Scalar { text: value, tag, implicit: plain_implicit })
            }
            EventData::SequenceStart { anchor, .. } => {
                self.open(anchor.as_ref());
                (anchor, Kind::List(self.items(depth)?))
            }
            EventData::MappingStart { anchor, .. } => {
                self.open(anchor.as_ref());
                (anchor, Kind::Map(self.pairs(depth)?))
            }
            _ => return Err(Error::new("attempted to parse unknown event")),
        };
        let node = Rc::new(Node { line, kind });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        Ok(node)
    }

    fn open(&mut self, anchor: Option<&String>) {
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor.clone(), None);
        }
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Rc<Node>>, Error> {
        let mut items = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::SequenceEnd) {
                return Ok(items);
            }
            items.push(self.node(event, depth + 1)?);
        }
    }

    fn pairs(&mut self, depth: usize) -> Result<Vec<Pair>, Error> {
        let mut pairs = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::MappingEnd) {
                return Ok(pairs);
            }
            let key = self.node(event, depth + 1)?;
            let value = self.next()?;
            pairs.push((key, self.node(value, depth + 1)?));
        }
    }
}

/// Lines are told as the Go library tells them: none for the first, and one too small for what the grammar (not
/// the scanner) refuses.
fn refusal(error: &libyaml_safer::Error) -> Error {
    let line = |mark: Option<Mark>| mark.map_or(0, |m| m.line);
    let scanner = u64::from(error.kind() == ErrorKind::Scanner);
    let line = match (line(error.problem_mark()), line(error.context_mark())) {
        (0, context) => context,
        (problem, _) => problem + scanner,
    };
    match line {
        0 => Error::new(error.problem()),
        _ => Error::new(format_args!("line {line}: {}", error.problem())),
    }
}
