//! Tidiness is a test: the invariants of ARCHITECTURE.md, checked on the text of the repository.
//!
//! `rooms` reads the Cargo.toml files, `sizes` measures files and functions, `naming` holds kinds to their files, `words`
//! looks for what must not be written where. None of them compiles anything; comments and strings are told from code by `mask`.

use anyhow::{Result, ensure};

use crate::workspace::{self, Source};

mod mask;
mod naming;
mod rooms;
mod sizes;
mod words;

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong and what is asked instead.
    pub message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

/// A Rust file with its comments and strings blanked, and with each line marked as test code or not.
pub struct Code<'a> {
    /// The file as it is.
    pub source: &'a Source,
    /// The file's lines, comments and the insides of strings replaced by spaces.
    pub lines: Vec<String>,
    /// For each line whether it is test code: below `#[cfg(test)]`, or in a test file.
    pub test: Vec<bool>,
}

impl<'a> Code<'a> {
    fn new(source: &'a Source) -> Self {
        let lines: Vec<String> = mask::mask(&source.text).lines().map(str::to_owned).collect();
        let test = if source.is_test() { vec![true; lines.len()] } else { mask::test_lines(&lines) };
        Self { source, lines, test }
    }

    /// The lines that are not test code, with their numbers from 1.
    pub fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.lines.iter().zip(&self.test).enumerate();
        numbered.filter(|(_, (_, test))| !**test).map(|(index, (line, _))| (index + 1, line.as_str()))
    }
}

/// All findings in the repository, in order.
///
/// # Errors
/// When the repository cannot be read.
pub fn findings() -> Result<Vec<Finding>> {
    let sources = workspace::sources()?;
    let codes: Vec<Code<'_>> =
        sources.iter().filter(|file| file.path.ends_with(".rs")).map(Code::new).collect();
    let mut found = Vec::new();
    rooms::check(&sources, &codes, &mut found);
    sizes::check(&codes, &mut found);
    naming::check(&codes, &mut found);
    words::check(&sources, &codes, &mut found);
    found.sort();
    Ok(found)
}

/// Prints all findings.
///
/// # Errors
/// When there is one.
pub fn run() -> Result<()> {
    let found = findings()?;
    for Finding { path, line, message } in &found {
        eprintln!("tidy: {path}:{line}: {message}");
    }
    ensure!(found.is_empty(), "tidy: {} findings", found.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let found = findings().unwrap();
        assert!(found.is_empty(), "{found:#?}");
    }
}
