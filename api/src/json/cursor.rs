//! The tokeniser: walks JSON text one token at a time and words every refusal as Go's scanner does.
//!
//! A caller asks `peek` what comes, then takes it with the matching method. Nothing is copied unless a string
//! holds escapes or invalid UTF-8.

use crate::Value;
use std::borrow::Cow;

/// How deep lists and maps may nest in a text, as upstream has it.
const MAX_DEPTH: usize = 10_000;

/// How deep they may nest where a tree is made of them: trees are walked by recursion, on small stacks, and no
/// honest object comes near it.
pub const MAX_TREE_DEPTH: usize = 256;

/// What is wrong with the text, in Go's words; `offset` counts the bytes read up to the bad one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub message: String,
    pub offset: usize,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What sort of value begins at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    Str,
    List,
    Map,
}

/// A place in JSON text.
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

/// Bytes of a string that can be taken as they are: printable ASCII but the quote and the backslash.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0x20;
    while b < 0x80 {
        table[b] = b != b'"' as usize && b != b'\\' as usize;
        b += 1;
    }
    table
};

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Cursor { text, at: 0, depth: 0 }
    }

    /// How many bytes were read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The next byte that is not white space; stays on it.
    fn next_byte(&mut self) -> Option<u8> {
        while let Some(b) = self.byte() {
            if !matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(b);
            }
            self.at += 1;
        }
        None
    }

    /// The refusal of the byte at the cursor, where white space would have been fine.
    fn refuse(&self, context: &str) -> Error {
        match self.byte() {
            Some(_) => self.refuse_any(context),
            None => self.fault("unexpected end of JSON input".to_owned()),
        }
    }

    /// The refusal of the byte at the cursor where not even white space fits: the end counts as a blank.
    fn refuse_any(&self, context: &str) -> Error {
        let shown = quote_byte(self.byte().unwrap_or(b' '));
        self.fault(format!("invalid character '{shown}' {context}"))
    }

    fn fault(&self, message: String) -> Error {
        Error { message, offset: (self.at + 1).min(self.text.len()) }
    }

    /// What comes next; only its first byte is looked at.
    pub fn peek(&mut self) -> Result<Kind, Error> {
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Map),
            Some(b'[') => Ok(Kind::List),
            Some(b'"') => Ok(Kind::Str),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.refuse("looking for beginning of value")),
        }
    }

    /// Enters a map or list, whose opening bracket `peek` saw, to make a tree of it.
    pub fn open(&mut self) -> Result<(), Error> {
        self.open_within(MAX_TREE_DEPTH)
    }

    fn open_within(&mut self, most: usize) -> Result<(), Error> {
        if self.depth >= most {
            return Err(self.refuse("exceeded max depth"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// The next key of the map entered last, up to and with its colon; nothing at the map's end.
    pub fn next_key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, Error> {
        match self.next_byte() {
            Some(b'}') => {
                self.close();
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.next_byte();
            }
            _ if !first => return Err(self.refuse("after object key:value pair")),
            _ => {}
        }
        if self.byte() != Some(b'"') {
            return Err(self.refuse("looking for beginning of object key string"));
        }
        let key = self.string()?;
        if self.next_byte() != Some(b':') {
            return Err(self.refuse("after object key"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the list entered last has another item; leaves the list at its end.
    pub fn next_item(&mut self, first: bool) -> Result<bool, Error> {
        match self.next_byte() {
            Some(b']') => {
                self.close();
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.refuse("after array element")),
        }
    }

    /// Nothing but white space may follow the outermost value.
    pub fn end(&mut self) -> Result<(), Error> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.refuse("after top-level value")),
        }
    }

    pub fn null(&mut self) -> Result<(), Error> {
        self.literal("null")
    }

    pub fn bool(&mut self) -> Result<bool, Error> {
        let value = self.byte() == Some(b't');
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    fn literal(&mut self, word: &str) -> Result<(), Error> {
        for expected in word.bytes() {
            if self.byte() != Some(expected) {
                let expected = char::from(expected);
                return Err(self.refuse_any(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &str) -> Result<(), Error> {
        if !self.byte().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.refuse_any(context));
        }
        self.digits();
        Ok(())
    }

    /// A number as it is written.
    pub fn number(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.some_digits("in numeric literal")?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(ascii(self.text.get(start..self.at).unwrap_or_default()))
    }

    /// A string without its quotes, escapes undone.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let start = self.at;
        let mut ascii_only = true;
        loop {
            match self.byte() {
                Some(b) if PLAIN[usize::from(b)] => self.at += 1,
                Some(b'"') => break,
                Some(b'\\') => return self.string_with_escapes(start),
                Some(b) if b >= 0x80 => {
                    ascii_only = false;
                    self.at += 1;
                }
                _ => return Err(self.refuse("in string literal")),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(if ascii_only { Cow::Borrowed(ascii(raw)) } else { replace_invalid(raw) })
    }

    fn string_with_escapes(&mut self, start: usize) -> Result<Cow<'a, str>, Error> {
        let mut out = String::with_capacity(self.at - start + 16);
        let mut from = start;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    out.push_str(&replace_invalid(self.text.get(from..self.at).unwrap_or_default()));
                    self.at += 1;
                    out.push(self.escape()?);
                    from = self.at;
                }
                Some(b) if b >= 0x20 => self.at += 1,
                _ => return Err(self.refuse("in string literal")),
            }
        }
        out.push_str(&replace_invalid(self.text.get(from..self.at).unwrap_or_default()));
        self.at += 1;
        Ok(Cow::Owned(out))
    }

    /// One escape after its backslash; a lone surrogate becomes U+FFFD.
    fn escape(&mut self) -> Result<char, Error> {
        let c = match self.byte() {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.refuse_any("in string escape code")),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode_escape(&mut self) -> Result<char, Error> {
        let high = self.hex4()?;
        if !(0xd800..0xe000).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let follows = self.text.get(self.at..self.at + 2) == Some(b"\\u");
        if high < 0xdc00 && follows {
            let back = self.at;
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.byte().and_then(|b| char::from(b).to_digit(16)) else {
                return Err(self.refuse_any("in \\u hexadecimal character escape"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// Reads past one value of any sort, without recursion.
    pub fn skip(&mut self) -> Result<(), Error> {
        let mut open = Vec::new();
        loop {
            let kind = self.peek()?;
            let enters = match kind {
                Kind::List | Kind::Map => {
                    self.open_within(MAX_DEPTH)?;
                    open.push(kind);
                    self.next_inside(kind, true)?
                }
                _ => self.skip_scalar(kind).map(|()| false)?,
            };
            if enters {
                continue;
            }
            if matches!(kind, Kind::List | Kind::Map) {
                open.pop();
            }
            while let Some(kind) = open.last() {
                if self.next_inside(*kind, false)? {
                    break;
                }
                open.pop();
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    fn skip_scalar(&mut self, kind: Kind) -> Result<(), Error> {
        match kind {
            Kind::Bool => self.bool().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Str => self.string().map(drop),
            _ => self.null(),
        }
    }

    /// Whether the map or list entered last has another value, which is then next.
    fn next_inside(&mut self, kind: Kind, first: bool) -> Result<bool, Error> {
        if kind == Kind::Map { Ok(self.next_key(first)?.is_some()) } else { self.next_item(first) }
    }
}

/// Text that the scanner knows to be ASCII.
fn ascii(raw: &[u8]) -> &str {
    std::str::from_utf8(raw).unwrap_or_default()
}

/// Each invalid byte becomes U+FFFD, one for one, as Go replaces them.
fn replace_invalid(raw: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut out = String::with_capacity(raw.len() + 8);
            for chunk in raw.utf8_chunks() {
                out.push_str(chunk.valid());
                out.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
            }
            Cow::Owned(out)
        }
    }
}

/// An integer when it is written as one and fits, else a float; refused when no float holds it.
pub fn number_value(text: &str) -> Result<Value, Error> {
    if let Some(int) = small_int(text.as_bytes()) {
        return Ok(Value::Int(int));
    }
    if let Ok(int) = text.parse::<i64>() {
        return Ok(Value::Int(int));
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Value::Float(float)),
        _ => {
            let message = format!("json: cannot unmarshal number {text} into Go value of type float64");
            Err(Error { message, offset: 0 })
        }
    }
}

/// Up to 18 digits without a sign: nearly all integers there are.
fn small_int(digits: &[u8]) -> Option<i64> {
    if digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// One byte as Go's `%q` shows it, taken for a Latin-1 character.
fn quote_byte(byte: u8) -> String {
    match byte {
        b'\'' => "\\'".to_owned(),
        b'\\' => "\\\\".to_owned(),
        7 => "\\a".to_owned(),
        8 => "\\b".to_owned(),
        0xc => "\\f".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        0xb => "\\v".to_owned(),
        0..0x20 | 0x7f => format!("\\x{byte:02x}"),
        0x80..=0xa0 | 0xad => format!("\\u{byte:04x}"),
        _ => char::from(byte).to_string(),
    }
}
