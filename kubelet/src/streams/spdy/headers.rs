//! Headers of SPDY: names and values with their lengths, packed by one zlib stream for each direction of a connection.

use super::dictionary::dictionary;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// The most that headers may be when they are unpacked.
const LARGEST: usize = 64 << 10;
/// How many there may be.
const MOST: u32 = 256;
/// How much room (un)packing gets at once.
const ROOM: usize = 4 << 10;

/// Names in lower case, each with one value; several values of one name are parted by a zero byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

/// What a peer sent is no SPDY, or more than we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl Headers {
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Headers(pairs.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect())
    }

    /// The first value; "" where there is none. `name` in lower case.
    pub fn get(&self, name: &str) -> &str {
        let value = self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value);
        value.split('\0').next().unwrap_or_default()
    }

    fn write(&self) -> Vec<u8> {
        let mut block = Vec::new();
        number(&mut block, self.0.len());
        for (name, value) in &self.0 {
            for text in [name, value] {
                number(&mut block, text.len());
                block.extend_from_slice(text.as_bytes());
            }
        }
        block
    }

    fn read(mut block: &[u8]) -> Result<Self, Broken> {
        let count = take_number(&mut block)?;
        if count > MOST {
            return Err(Broken("too many headers"));
        }
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = take_text(&mut block)?.to_lowercase();
            let value = take_text(&mut block)?;
            headers.push((name, value));
        }
        if block.is_empty() { Ok(Headers(headers)) } else { Err(Broken("headers are longer than they say")) }
    }
}

fn number(block: &mut Vec<u8>, n: usize) {
    block.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes());
}

fn take_number(block: &mut &[u8]) -> Result<u32, Broken> {
    let (number, rest) = block.split_first_chunk::<4>().ok_or(Broken("headers end early"))?;
    *block = rest;
    Ok(u32::from_be_bytes(*number))
}

fn take_text(block: &mut &[u8]) -> Result<String, Broken> {
    let length = usize::try_from(take_number(block)?).unwrap_or(usize::MAX);
    let (text, rest) = block.split_at_checked(length).ok_or(Broken("headers end early"))?;
    *block = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Broken("headers are no text"))
}

/// Packs the headers that one side sends.
pub struct Packer(Compress);

impl Packer {
    pub fn new() -> Result<Self, Broken> {
        let mut stream = Compress::new(Compression::default(), true);
        stream.set_dictionary(&dictionary()).map_err(|_| Broken("the dictionary does not fit"))?;
        Ok(Packer(stream))
    }

    pub fn pack(&mut self, headers: &Headers) -> Result<Vec<u8>, Broken> {
        let block = headers.write();
        let (mut packed, start) = (Vec::new(), self.0.total_in());
        loop {
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(block.len());
            let rest = block.get(done..).unwrap_or_default();
            packed.reserve(ROOM);
            self.0
                .compress_vec(rest, &mut packed, FlushCompress::Sync)
                .map_err(|_| Broken("headers cannot be packed"))?;
            // Room left over: all of it is out.
            if packed.len() < packed.capacity() {
                return Ok(packed);
            }
        }
    }
}

/// Unpacks the headers that the other side sends.
pub struct Unpacker(Decompress);

impl Unpacker {
    pub fn new() -> Self {
        Unpacker(Decompress::new(true))
    }

    /// # Errors
    /// When it is not packed as it should be or unpacks to too much; the stream is of no more use then.
    pub fn unpack(&mut self, packed: &[u8]) -> Result<Headers, Broken> {
        let (mut block, start) = (Vec::new(), self.0.total_in());
        loop {
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(packed.len());
            let rest = packed.get(done..).unwrap_or_default();
            if rest.is_empty() && block.len() < block.capacity() {
                return Headers::read(&block);
            }
            if block.len() > LARGEST {
                return Err(Broken("headers are too large"));
            }
            block.reserve(ROOM);
            let before = (self.0.total_in(), block.len());
            match self.0.decompress_vec(rest, &mut block, FlushDecompress::Sync) {
                Ok(_) if before == (self.0.total_in(), block.len()) => return self.end(rest, &block),
                Ok(_) => {}
                Err(wants) if wants.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| Broken("another dictionary"))?;
                }
                Err(_) => return Err(Broken("headers are not packed by zlib")),
            }
        }
    }

    /// Nothing more comes out: it is whole, or the stream is over.
    fn end(&self, rest: &[u8], block: &[u8]) -> Result<Headers, Broken> {
        if rest.is_empty() { Headers::read(block) } else { Err(Broken("more than headers")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_that_of_the_protocol() {
        assert_eq!(dictionary().len(), 1423);
        let mut stream = Compress::new(Compression::default(), true);
        assert_eq!(stream.set_dictionary(&dictionary()).unwrap(), 0xe3c6_a7c2);
    }

    #[test]
    fn headers_survive_the_way_one_after_another() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new());
        for n in 0..50 {
            let long = "x".repeat(n * 500);
            let headers = Headers::of(&[("streamType", "data"), ("port", "80"), ("requestID", &long)]);
            assert_eq!(unpacker.unpack(&packer.pack(&headers).unwrap()), Ok(headers));
        }
    }

    #[test]
    fn of_several_values_the_first_counts() {
        let headers = Headers(vec![("port".to_owned(), "80\u{0}81".to_owned())]);
        assert_eq!((headers.get("port"), headers.get("streamtype")), ("80", ""));
    }

    #[test]
    fn headers_that_unpack_to_too_much_are_refused() {
        let mut packer = Packer::new().unwrap();
        let packed = packer.pack(&Headers::of(&[("a", &"x".repeat(10 << 20))])).unwrap();
        assert!(packed.len() < 64 << 10);
        assert_eq!(Unpacker::new().unpack(&packed), Err(Broken("headers are too large")));
    }
}
