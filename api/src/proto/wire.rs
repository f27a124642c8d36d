//! The wire format: varints, tags, lengths.

use super::Error;

/// The wire types that occur.
pub const VARINT: u32 = 0;
pub const FIXED64: u32 = 1;
pub const BYTES: u32 = 2;

pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_tag(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire_type), out);
}

pub fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_tag(number, BYTES, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub fn put_int(number: u32, value: i64, out: &mut Vec<u8>) {
    put_tag(number, VARINT, out);
    // Negative numbers take ten bytes, as two's complement.
    put_varint(value.cast_unsigned(), out);
}

/// Writes a message of unknown length: one byte is kept for the length, and made more when it does not do.
pub fn put_message(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(number, BYTES, out);
    let start = out.len();
    out.push(0);
    write(out);
    let len = out.len() - start - 1;
    if len < 0x80 {
        out[start] = len as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    put_varint(len as u64, &mut prefix);
    out.splice(start..=start, prefix);
}

/// A place in a message.
#[derive(Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(i + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Error::new(if self.0.len() < 10 { "unexpected EOF" } else { "proto: integer overflow" }))
    }

    /// The next field's number and wire type; nothing at the end. `message` is named in errors.
    pub fn tag(&mut self, message: &str) -> Result<Option<(u32, u32)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let (number, wire_type) = ((tag >> 3) as u32 as i32, (tag & 7) as u32);
        if wire_type == 4 {
            return Err(Error(format!("proto: {message}: wiretype end group for non-group")));
        }
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok(Some((number, wire_type))),
            _ => Err(Error(format!("proto: {message}: illegal tag {number} (wire type {tag})"))),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let len = self.varint()?;
        if len > i64::MAX as u64 {
            return Err(Error::new("proto: negative length found during unmarshaling"));
        }
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    pub fn fixed64(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(|| Error::new("unexpected EOF"))?;
        self.0 = rest;
        Ok(head)
    }

    /// Reads past a field that nobody knows.
    pub fn skip(&mut self, wire_type: u32) -> Result<(), Error> {
        match wire_type {
            VARINT => drop(self.varint()?),
            FIXED64 => drop(self.take(8)?),
            BYTES => drop(self.bytes()?),
            3 => self.skip_group()?,
            5 => drop(self.take(4)?),
            other => return Err(Error(format!("proto: illegal wireType {other}"))),
        }
        Ok(())
    }

    fn skip_group(&mut self) -> Result<(), Error> {
        let mut depth = 1_u32;
        while depth > 0 {
            match self.varint()? & 7 {
                3 => depth += 1,
                4 => depth -= 1,
                other => self.skip(other as u32)?,
            }
        }
        Ok(())
    }
}
