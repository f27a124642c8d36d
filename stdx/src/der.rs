//! DER, as far as certificates and requests for them are read and put together: elements of definite length.

pub const BIT_STRING: u8 = 0x03;
pub const UTF8_STRING: u8 = 0x0c;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// The longest length that is believed, in digits of base 256.
const MAX_LENGTH_DIGITS: usize = 4;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    /// All of it, with tag and length.
    pub bytes: &'a [u8],
    pub content: &'a [u8],
}

/// The first element of `der` and what follows it; nothing when `der` ends before it does.
pub fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, first) = (*der.first()?, *der.get(1)?);
    let (head, len) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        let digits = der.get(2..2 + count).filter(|d| !d.is_empty() && d.len() <= MAX_LENGTH_DIGITS)?;
        (2 + count, digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)))
    };
    let bytes = der.get(..head.checked_add(len)?)?;
    Some((Element { tag, bytes, content: bytes.get(head..)? }, der.get(bytes.len()..)?))
}

/// The elements of `der`, up to its end or the first that is none.
pub fn elements(der: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut left = der;
    std::iter::from_fn(move || {
        let (element, rest) = element(left)?;
        left = rest;
        Some(element)
    })
}

/// An element put together.
pub fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = content.len();
    if let Ok(short @ 0..0x80) = u8::try_from(len) {
        out.push(short);
    } else {
        let digits = len.to_be_bytes();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.get(zeros..).unwrap_or_default();
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_read_back_as_they_were_put_together() {
        for len in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; len];
            let whole = tagged(SEQUENCE, &content);
            let followed = [&whole[..], &[1, 2]].concat();
            let (read, rest) = element(&followed).unwrap();
            assert_eq!((read.tag, read.content.len(), read.bytes.len()), (SEQUENCE, len, whole.len()));
            assert_eq!(rest, [1, 2]);
        }
    }

    #[test]
    fn what_ends_too_early_is_no_element() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 2, 5],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x82, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(element(der), None, "{der:?}");
        }
        assert_eq!(elements(&[1, 1, 0, 2, 0, 3]).count(), 2);
    }
}
