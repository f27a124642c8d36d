//! Frames of SPDY/3.1: eight bytes of head, then data or the fields of a control frame. Source: SPDY protocol draft 3.1.

use super::headers::{Broken, Headers, Packer, Unpacker};

/// The longest control frame that we take: headers of Kubernetes are some dozens of bytes.
pub const LONGEST_CONTROL: u32 = 64 << 10;
const VERSION: u16 = 3;
const FIN: u8 = 1;
const SETTING_FIRST_WINDOW: u32 = 7;
/// Stream ids are 31 bits, and so are windows.
const LOW: u32 = 0x7fff_ffff;

/// Why a stream is reset.
pub const PROTOCOL_ERROR: u32 = 1;
pub const REFUSED: u32 = 3;
pub const CANCEL: u32 = 5;

/// The first eight bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    Data { stream: u32, finished: bool, length: u32 },
    Control { kind: u16, flags: u8, length: u32 },
}

impl Head {
    pub const LENGTH: usize = 8;

    /// # Errors
    /// When it is of another version, or a control frame longer than we take.
    pub fn read(bytes: [u8; Self::LENGTH]) -> Result<Self, Broken> {
        let [a, b, c, d, flags, e, f, g] = bytes;
        let (first, length) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([0, e, f, g]));
        if first & !LOW == 0 {
            return Ok(Head::Data { stream: first, finished: flags & FIN != 0, length });
        }
        if u16::from_be_bytes([a & 0x7f, b]) != VERSION {
            return Err(Broken("another version of SPDY"));
        }
        if length > LONGEST_CONTROL {
            return Err(Broken("a control frame is too long"));
        }
        Ok(Head::Control { kind: u16::from_be_bytes([c, d]), flags, length })
    }
}

/// A control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The other side makes a stream; with `finished` it sends nothing on it.
    Open {
        stream: u32,
        finished: bool,
        headers: Headers,
    },
    Reply {
        stream: u32,
        finished: bool,
    },
    Reset {
        stream: u32,
    },
    /// What streams may be sent before any of it is taken.
    FirstWindow(u32),
    Ping(u32),
    GoAway,
    Headers {
        stream: u32,
        finished: bool,
    },
    /// So much was taken; of stream 0: on the connection.
    Window {
        stream: u32,
        by: u32,
    },
    /// What says nothing to us: other settings, kinds that we do not know.
    Nothing,
}

/// Reads the fields of control frames.
pub struct Decoder(Unpacker);

impl Decoder {
    pub fn new() -> Self {
        Decoder(Unpacker::new())
    }

    /// # Errors
    /// When the frame is not as the protocol has it; the connection is of no more use then.
    pub fn control(&mut self, kind: u16, flags: u8, mut body: &[u8]) -> Result<Control, Broken> {
        let finished = flags & FIN != 0;
        let mut number = || take(&mut body);
        Ok(match kind {
            1 => {
                let stream = number()? & LOW;
                number()?;
                let packed = body.get(2..).ok_or(Broken("a frame ends early"))?;
                Control::Open { stream, finished, headers: self.0.unpack(packed)? }
            }
            2 => {
                let stream = number()? & LOW;
                self.0.unpack(body)?;
                Control::Reply { stream, finished }
            }
            3 => Control::Reset { stream: number()? & LOW },
            4 => settings(body)?,
            6 => Control::Ping(number()?),
            7 => Control::GoAway,
            8 => {
                let stream = number()? & LOW;
                self.0.unpack(body)?;
                Control::Headers { stream, finished }
            }
            9 => Control::Window { stream: number()? & LOW, by: number()? & LOW },
            _ => Control::Nothing,
        })
    }
}

fn take(body: &mut &[u8]) -> Result<u32, Broken> {
    let (number, rest) = body.split_first_chunk::<4>().ok_or(Broken("a frame ends early"))?;
    *body = rest;
    Ok(u32::from_be_bytes(*number))
}

fn settings(mut body: &[u8]) -> Result<Control, Broken> {
    let count = take(&mut body)?;
    let mut found = Control::Nothing;
    for _ in 0..count {
        let (id, value) = (take(&mut body)? & 0x00ff_ffff, take(&mut body)?);
        if id == SETTING_FIRST_WINDOW {
            found = Control::FirstWindow(value & LOW);
        }
    }
    Ok(found)
}

/// Writes frames.
pub struct Encoder(Packer);

impl Encoder {
    pub fn new() -> Result<Self, Broken> {
        Ok(Encoder(Packer::new()?))
    }

    pub fn data(out: &mut Vec<u8>, stream: u32, data: &[u8], finished: bool) {
        out.extend_from_slice(&(stream & LOW).to_be_bytes());
        length(out, if finished { FIN } else { 0 }, data.len());
        out.extend_from_slice(data);
    }

    pub fn open(&mut self, out: &mut Vec<u8>, stream: u32, headers: &Headers) -> Result<(), Broken> {
        let mut body = [stream.to_be_bytes(), [0; 4]].concat();
        // Priority and slot.
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&self.0.pack(headers)?);
        control(out, 1, &body);
        Ok(())
    }

    pub fn reply(&mut self, out: &mut Vec<u8>, stream: u32) -> Result<(), Broken> {
        let mut body = stream.to_be_bytes().to_vec();
        body.extend_from_slice(&self.0.pack(&Headers::default())?);
        control(out, 2, &body);
        Ok(())
    }

    pub fn reset(out: &mut Vec<u8>, stream: u32, why: u32) {
        control(out, 3, &[stream.to_be_bytes(), why.to_be_bytes()].concat());
    }

    pub fn ping(out: &mut Vec<u8>, id: u32) {
        control(out, 6, &id.to_be_bytes());
    }

    pub fn go_away(out: &mut Vec<u8>, last_stream: u32) {
        control(out, 7, &[last_stream.to_be_bytes(), [0; 4]].concat());
    }

    pub fn window(out: &mut Vec<u8>, stream: u32, by: u32) {
        control(out, 9, &[stream.to_be_bytes(), (by & LOW).to_be_bytes()].concat());
    }
}

fn control(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    out.extend_from_slice(&(0x8000 | VERSION).to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    length(out, 0, body.len());
    out.extend_from_slice(body);
}

/// Flags and length; frames of ours are never as long as 24 bits can say.
fn length(out: &mut Vec<u8>, flags: u8, length: usize) {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&[flags, a, b, c]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Head and body of the only frame there is.
    fn parts(frame: &[u8]) -> (Head, &[u8]) {
        let head = Head::read(*frame.first_chunk().unwrap()).unwrap();
        (head, &frame[Head::LENGTH..])
    }

    fn read(decoder: &mut Decoder, frame: &[u8]) -> Control {
        let (Head::Control { kind, flags, length }, body) = parts(frame) else { panic!("no control frame") };
        assert_eq!(length as usize, body.len());
        decoder.control(kind, flags, body).unwrap()
    }

    #[test]
    fn every_frame_that_is_written_reads_the_same() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new());
        let headers = Headers::of(&[("streamType", "stdin")]);
        let mut out = Vec::new();
        encoder.open(&mut out, 3, &headers).unwrap();
        assert_eq!(read(&mut decoder, &out), Control::Open { stream: 3, finished: false, headers });
        out.clear();
        encoder.reply(&mut out, 3).unwrap();
        assert_eq!(read(&mut decoder, &out), Control::Reply { stream: 3, finished: false });
        type Write = fn(&mut Vec<u8>);
        let plain: [(Write, Control); 4] = [
            (|out| Encoder::reset(out, 9, CANCEL), Control::Reset { stream: 9 }),
            (|out| Encoder::ping(out, 7), Control::Ping(7)),
            (|out| Encoder::go_away(out, 5), Control::GoAway),
            (|out| Encoder::window(out, 0, 32768), Control::Window { stream: 0, by: 32768 }),
        ];
        for (write, expected) in plain {
            out.clear();
            write(&mut out);
            assert_eq!(read(&mut decoder, &out), expected);
        }
        out.clear();
        Encoder::data(&mut out, 11, b"hello", true);
        assert_eq!(parts(&out), (Head::Data { stream: 11, finished: true, length: 5 }, &b"hello"[..]));
    }

    #[test]
    fn the_first_window_is_found_among_the_settings() {
        let body = [0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 100, 1, 0, 0, 7, 0, 1, 0, 0];
        assert_eq!(Decoder::new().control(4, 0, &body), Ok(Control::FirstWindow(65536)));
        assert_eq!(Decoder::new().control(4, 0, &body[..12]), Err(Broken("a frame ends early")));
    }

    #[test]
    fn a_frame_of_another_version_or_too_long_is_refused() {
        assert!(Head::read([0x80, 2, 0, 1, 0, 0, 0, 4]).is_err());
        assert!(Head::read([0x80, 3, 0, 1, 0, 2, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(head in any::<[u8; 8]>(), kind in 0u16..12, flags: u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Head::read(head);
            let _ = Decoder::new().control(kind, flags, &body);
        }

        #[test]
        fn no_change_of_packed_headers_makes_it_panic(at in 0usize..60, to: u8) {
            let mut out = Vec::new();
            let headers = Headers::of(&[("streamType", "error"), ("port", "8080"), ("requestID", "0")]);
            Encoder::new().unwrap().open(&mut out, 1, &headers).unwrap();
            let last = out.len() - 1;
            out[(Head::LENGTH + at).min(last)] = to;
            let _ = Decoder::new().control(1, 0, &out[Head::LENGTH..]);
        }

        #[test]
        fn any_headers_survive_the_way(pairs in prop::collection::vec(("[a-z-]{1,12}", ".{0,40}"), 0..8)) {
            let headers = Headers(pairs);
            let mut out = Vec::new();
            Encoder::new().unwrap().open(&mut out, 1, &headers).unwrap();
            let (_, body) = parts(&out);
            let read = Decoder::new().control(1, 0, body);
            prop_assert_eq!(read, Ok(Control::Open { stream: 1, finished: false, headers }));
        }
    }
}
