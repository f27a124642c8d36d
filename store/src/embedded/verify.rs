//! A look at the database file before LMDB maps it. LMDB believes its file: a page that was cut off is a bus
//! error, a page of noise is read out of bounds. So both trees of the file (the free list and ours) are walked
//! here with plain reads, and every page number, node and length is checked.
//!
//! The layout (LMDB 0.9, in the machine's byte order): pages of one size; a head of 16 bytes: number u64, pad
//! u16, flags u16, lower u16, upper u16 (an overflow page has its count of pages, u32, in place of those two);
//! then the offsets of the nodes, u16 each, up to `lower`. A node: low u16, high u16, flags u16, length of
//! the key u16, key, data. Pages 0 and 1 are meta pages; the one with the greater transaction id counts.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const HEAD: usize = 16;
const NODE_HEAD: usize = 8;
const MAGIC: u32 = 0xBEEF_C0DE;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const META: u16 = 8;
const BIG_DATA: u16 = 1;
const MAX_DEPTH: u16 = 32;
const NO_PAGE: u64 = u64::MAX;

/// Numbers in a slice, `None` past its end.
trait Numbers {
    fn u16_at(&self, at: usize) -> Option<u16>;
    fn u32_at(&self, at: usize) -> Option<u32>;
    fn u64_at(&self, at: usize) -> Option<u64>;
}

impl Numbers for [u8] {
    fn u16_at(&self, at: usize) -> Option<u16> {
        self.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
    }
    fn u32_at(&self, at: usize) -> Option<u32> {
        self.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }
    fn u64_at(&self, at: usize) -> Option<u64> {
        self.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
    }
}

/// What is wrong with a file.
type Fault = String;

struct Tree {
    root: u64,
    depth: u16,
    entries: u64,
}

struct Meta {
    page_size: usize,
    last_page: u64,
    txn: u64,
    trees: [Tree; 2],
}

struct Walk<'a> {
    file: &'a File,
    page_size: usize,
    last_page: u64,
    pages_left: u64,
    entries: u64,
}

/// Walks the file. `Ok(Err(_))` says what is damaged; an empty file is not.
pub(super) fn verify(file: &File) -> io::Result<Result<(), Fault>> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Ok(()));
    }
    Ok(newest_meta(file).and_then(|meta| {
        let pages = length / meta.page_size as u64;
        for tree in &meta.trees {
            let last_page = meta.last_page.min(pages.saturating_sub(1));
            let (page_size, pages_left, entries) = (meta.page_size, pages, 0);
            let mut walk = Walk { file, page_size, last_page, pages_left, entries };
            if tree.root != NO_PAGE {
                walk.page(tree.root, tree.depth)?;
            }
            if walk.entries != tree.entries {
                return Err(format!("{} of {} entries are there", walk.entries, tree.entries));
            }
        }
        Ok(())
    }))
}

fn newest_meta(file: &File) -> Result<Meta, Fault> {
    let first = meta(file, 0)?;
    let second = meta(file, first.page_size as u64)?;
    Ok(if second.txn > first.txn { second } else { first })
}

fn meta(file: &File, at: u64) -> Result<Meta, Fault> {
    let mut page = [0; HEAD + 136];
    file.read_exact_at(&mut page, at).map_err(|_| "cut off in its head".to_owned())?;
    parse_meta(&page).ok_or_else(|| "its head is not of a database".to_owned())
}

fn parse_meta(page: &[u8]) -> Option<Meta> {
    let body = page.get(HEAD..)?;
    let is_meta = page.u16_at(10)? & META != 0 && body.u32_at(0)? == MAGIC;
    let page_size = body.u32_at(24)? as usize;
    let is_page_size = page_size.is_power_of_two() && (512..=65536).contains(&page_size);
    let tree = |at: usize| {
        let depth = body.u16_at(at + 6)?;
        Some(Tree { root: body.u64_at(at + 40)?, depth, entries: body.u64_at(at + 32)? })
    };
    (is_meta && is_page_size).then_some(Meta {
        page_size,
        last_page: body.u64_at(120)?,
        txn: body.u64_at(128)?,
        trees: [tree(24)?, tree(72)?],
    })
}

impl Walk<'_> {
    /// Reads one page, and checks that it says to be that page.
    fn read(&mut self, number: u64) -> Result<Vec<u8>, Fault> {
        let fault = |what| Err(format!("page {number} {what}"));
        if number < 2 || number > self.last_page {
            return fault("is cut off");
        }
        self.pages_left = match self.pages_left.checked_sub(1) {
            Some(left) => left,
            None => return fault("is used twice"),
        };
        let mut page = vec![0; self.page_size];
        match self.file.read_exact_at(&mut page, number * self.page_size as u64) {
            Ok(()) if page.u64_at(0) == Some(number) => Ok(page),
            Ok(()) => fault("is not in its place"),
            Err(error) => fault(&format!("cannot be read: {error}")),
        }
    }

    /// A page of a tree of this depth, and all below it.
    fn page(&mut self, number: u64, depth: u16) -> Result<(), Fault> {
        let page = self.read(number)?;
        let expected = if depth > 1 { BRANCH } else { LEAF };
        let flags = page.u16_at(10).unwrap_or(0);
        if flags & (BRANCH | LEAF | OVERFLOW | META) != expected || depth == 0 || depth > MAX_DEPTH {
            return Err(format!("page {number} is of a wrong kind"));
        }
        let bounds = page.u16_at(12).zip(page.u16_at(14));
        let (lower, upper) = bounds.map_or((0, 0), |(lower, upper)| (usize::from(lower), usize::from(upper)));
        if lower < HEAD || lower > upper || upper > self.page_size {
            return Err(format!("page {number} has wrong bounds"));
        }
        for slot in (HEAD..lower).step_by(2) {
            let start = page.u16_at(slot).map(usize::from).filter(|start| *start >= upper);
            let node = start.and_then(|start| page.get(start..));
            let done = node.and_then(|node| match depth {
                1 => self.leaf_node(node),
                _ => self.branch_node(node, depth),
            });
            done.ok_or_else(|| format!("page {number} has a wrong node"))??;
        }
        Ok(())
    }

    /// `None`: it does not fit.
    fn branch_node(&mut self, node: &[u8], depth: u16) -> Option<Result<(), Fault>> {
        let child = u64::from(node.u32_at(0)?) | u64::from(node.u16_at(4)?) << 32;
        node.get(..NODE_HEAD + usize::from(node.u16_at(6)?))?;
        Some(self.page(child, depth - 1))
    }

    /// `None`: it does not fit.
    fn leaf_node(&mut self, node: &[u8]) -> Option<Result<(), Fault>> {
        let (size, flags) = (node.u32_at(0)? as usize, node.u16_at(4)?);
        let data = node.get(NODE_HEAD + usize::from(node.u16_at(6)?)..)?;
        self.entries += 1;
        if flags & BIG_DATA == 0 {
            return data.get(..size).map(|_| Ok(()));
        }
        Some(self.overflow(data.u64_at(0)?, size))
    }

    /// A value of `size` bytes on pages of its own.
    fn overflow(&mut self, number: u64, size: usize) -> Result<(), Fault> {
        let page = self.read(number)?;
        let needed = (HEAD + size).div_ceil(self.page_size) as u64;
        let is_overflow = page.u16_at(10).is_some_and(|flags| flags & OVERFLOW != 0);
        let has_enough = page.u32_at(12).is_some_and(|pages| u64::from(pages) >= needed);
        match is_overflow && has_enough && number + needed - 1 <= self.last_page {
            true => Ok(()),
            false => Err(format!("the long value on page {number} is cut off")),
        }
    }
}
