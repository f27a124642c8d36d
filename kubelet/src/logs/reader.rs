//! Reads a log as far as it is written: lines to what was asked for. Blocks, as files do.

use super::options::Options;
use super::tail;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use stdx::Time;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// What a step of reading gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Text(Bytes),
    /// There is no more at this time.
    AtEnd,
    /// Whatever comes, it was not asked for.
    Enough,
}

pub struct Reader {
    file: File,
    options: Options,
    /// Read, but not yet a whole line.
    rest: Vec<u8>,
    /// Whether the next text begins a line, as the reader of it sees lines.
    at_line_start: bool,
    understood: bool,
    lines_left: u64,
    bytes_left: u64,
}

impl Reader {
    /// Begins where `options` say.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(path: &Path, options: &Options) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if let Some(lines) = options.tail_lines {
            let start = tail::start(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        // While following, lines that come count no longer.
        let lines_left = options.tail_lines.filter(|_| !options.follow).unwrap_or(u64::MAX);
        let bytes_left = options.limit_bytes.unwrap_or(u64::MAX);
        Ok(Reader {
            file,
            options: options.clone(),
            rest: Vec::new(),
            at_line_start: true,
            understood: false,
            lines_left,
            bytes_left,
        })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Goes on with another file, which began when this one was renamed.
    pub fn go_on_with(&mut self, file: File) {
        self.file = file;
        self.rest.clear();
    }

    /// The next text.
    ///
    /// # Errors
    /// When the file cannot be read, or is no log.
    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.has_enough() {
                return Ok(Step::Enough);
            }
            let had = self.rest.len();
            (&self.file).take(CHUNK as u64).read_to_end(&mut self.rest)?;
            if self.rest.len() == had {
                return Ok(Step::AtEnd);
            }
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let later = self.rest.split_off(end + 1);
            let lines = std::mem::replace(&mut self.rest, later);
            let text = self.texts(&lines)?;
            if !text.is_empty() {
                return Ok(Step::Text(text.into()));
            }
        }
    }

    /// What is left at the end and is no whole line.
    ///
    /// # Errors
    /// When the file is no log.
    pub fn last(&mut self) -> io::Result<Bytes> {
        let rest = std::mem::take(&mut self.rest);
        Ok(self.texts(&rest)?.into())
    }

    fn has_enough(&self) -> bool {
        self.lines_left == 0 || self.bytes_left == 0
    }

    fn texts(&mut self, lines: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.has_enough() {
                break;
            }
            match Line::parse(line) {
                Some(line) => self.put(&line, &mut text),
                None if self.understood => tracing::debug!("a line of a log is none"),
                None => {
                    let line = api::quote(&String::from_utf8_lossy(line));
                    let why = format!("failed to get parse function: unsupported log format: {line}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        Ok(text)
    }

    fn put(&mut self, line: &Line<'_>, text: &mut Vec<u8>) {
        self.understood = true;
        let wanted = self.options.stream.is_none_or(|stream| stream.name().as_bytes() == line.stream);
        if wanted && self.options.since.is_none_or(|since| line.time >= since) {
            let start = text.len();
            if self.options.timestamps && self.at_line_start {
                line.put_time(text);
                text.push(b' ');
            }
            text.extend_from_slice(line.text);
            let len = (text.len() - start) as u64;
            if len > self.bytes_left {
                text.truncate(start + usize::try_from(self.bytes_left).unwrap_or(usize::MAX));
            }
            self.bytes_left = if self.options.limit_bytes.is_some() {
                self.bytes_left.saturating_sub(len)
            } else {
                self.bytes_left
            };
        }
        if self.lines_left != u64::MAX {
            self.lines_left -= 1;
        }
        self.at_line_start = line.text.last().is_none_or(|byte| *byte == b'\n');
    }
}

/// A line as containerd wrote it.
struct Line<'a> {
    written: &'a str,
    time: Time,
    stream: &'a [u8],
    /// With its newline, unless it goes on in the next line.
    text: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (written, rest) = cut(line)?;
        let written = std::str::from_utf8(written).ok()?;
        let time = api::time::parse(written).ok()?;
        let (stream, rest) = cut(rest)?;
        if !matches!(stream, b"stdout" | b"stderr") {
            return None;
        }
        let (tags, mut text) = cut(rest)?;
        if tags.split(|byte| *byte == b':').next() == Some(b"P") {
            text = text.strip_suffix(b"\n").unwrap_or(text);
        }
        Some(Line { written, time, stream, text })
    }

    /// With nine digits of the second's fraction, in the zone in which it was written.
    fn put_time(&self, text: &mut Vec<u8>) {
        let (seconds, rest) = self.written.split_at_checked(19).unwrap_or((self.written, ""));
        let zone = rest.trim_start_matches(['.', ',']).trim_start_matches(|c: char| c.is_ascii_digit());
        let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
        text.extend_from_slice(format!("{seconds}.{:09}{zone}", self.time.nanos).as_bytes());
    }
}

fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// All that is there now. Blocks.
///
/// # Errors
/// When the file cannot be read, or is no log.
pub fn read_now(path: &Path, options: &Options) -> io::Result<Vec<u8>> {
    let mut reader = Reader::open(path, options).map_err(|why| unreadable(path, &why))?;
    let mut all = Vec::new();
    loop {
        match reader.step()? {
            Step::Text(text) => all.extend_from_slice(&text),
            Step::AtEnd => {
                all.extend_from_slice(&reader.last()?);
                return Ok(all);
            }
            Step::Enough => return Ok(all),
        }
    }
}

/// In upstream's words.
pub(super) fn unreadable(path: &Path, why: &io::Error) -> io::Error {
    let path = path.display().to_string();
    let quoted = api::quote(&path);
    let text = match why.kind() {
        io::ErrorKind::NotFound => format!(
            "failed to try resolving symlinks in path {quoted}: lstat {path}: no such file or directory"
        ),
        _ => format!("failed to open log file {quoted}: {why}"),
    };
    io::Error::new(why.kind(), text)
}
