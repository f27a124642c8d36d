//! Tells code from comments and strings, and product from tests, without a parser: enough of Rust's lexical rules to
//! blank what is not code (nested comments, raw and byte strings, characters against lifetimes).

/// The text with comments and the insides of strings and characters replaced by spaces; lines and columns stay.
pub fn mask(text: &str) -> String {
    let mut scan = Scan { chars: text.chars().collect(), at: 0, out: String::with_capacity(text.len()) };
    while scan.at < scan.chars.len() {
        scan.token();
    }
    scan.out
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Scan {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    /// Takes `count` characters over as they are.
    fn keep(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(c) = self.chars.get(self.at) {
                self.out.push(*c);
                self.at += 1;
            }
        }
    }

    /// Blanks `count` characters, line ends excepted.
    fn blank(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(c) = self.chars.get(self.at) {
                self.out.push(if *c == '\n' { '\n' } else { ' ' });
                self.at += 1;
            }
        }
    }

    fn token(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.blank(1);
                }
            }
            ('/', '*') => self.comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.character(),
            (c, _) if c.is_alphanumeric() || c == '_' => self.word(),
            _ => self.keep(1),
        }
    }

    fn comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => (depth, ()) = (depth + 1, self.blank(2)),
                ('*', '/') => (depth, ()) = (depth - 1, self.blank(2)),
                _ => self.blank(1),
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep(1);
        while self.at < self.chars.len() && self.peek(0) != '"' {
            self.blank(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        self.keep(1);
    }

    /// A character literal is closed after one character or one escape; anything else is a lifetime.
    fn character(&mut self) {
        self.keep(1);
        if self.peek(0) == '\\' {
            self.blank(2);
            while self.at < self.chars.len() && self.peek(0) != '\'' {
                self.blank(1);
            }
            self.keep(1);
        } else if self.peek(1) == '\'' {
            self.blank(1);
            self.keep(1);
        }
    }

    /// A word; `r`, `br` and `cr` before quotes or hashes open a raw string.
    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            self.keep(1);
        }
        let word: String = self.chars[start..self.at].iter().collect();
        let mut hashes = 0;
        while self.peek(hashes) == '#' {
            hashes += 1;
        }
        if matches!(word.as_str(), "r" | "br" | "cr") && self.peek(hashes) == '"' {
            self.keep(hashes + 1);
            self.raw_string(hashes);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        while self.at < self.chars.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#') {
                return self.keep(hashes + 1);
            }
            self.blank(1);
        }
    }
}

/// For each masked line whether it belongs to an item under `#[cfg(test)]` (or `#[cfg(all(test, …))]`).
pub fn test_lines(lines: &[String]) -> Vec<bool> {
    let mut marks = vec![false; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim_start();
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            let end = item_end(lines, at + 1);
            marks[at..=end].fill(true);
            at = end;
        }
        at += 1;
    }
    marks
}

/// The last line of the item that begins at a line: where its braces close, or its semicolon if that comes first.
pub fn item_end(lines: &[String], begin: usize) -> usize {
    let (mut depth, mut parens) = (0_i32, 0_i32);
    for (index, line) in lines.iter().enumerate().skip(begin) {
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                '(' | '[' => parens += 1,
                ')' | ']' => parens -= 1,
                ';' if depth == 0 && parens == 0 => return index,
                _ => continue,
            }
            if c == '}' && depth == 0 && parens == 0 {
                return index;
            }
        }
    }
    lines.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        mask(text).lines().map(str::to_owned).collect()
    }

    #[test]
    fn comments_and_strings_are_blanked_in_place() {
        assert_eq!(mask("a /* x /* y */ z */ b"), "a                   b");
        assert_eq!(mask("let a = \"}\\\"{\"; // }"), "let a = \"    \";     ");
        assert_eq!(mask("r#\"a\"b\"# c"), "r#\"   \"# c");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        assert_eq!(mask("'{' '\\'' '\\u{7d}' <'a>(x: &'a str)"), "' ' '  ' '      ' <'a>(x: &'a str)");
    }

    #[test]
    fn items_under_cfg_test_are_test_lines() {
        let marked = test_lines(&lines("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n"));
        assert_eq!(marked, [false, true, true, true, true, false]);
        let marked = test_lines(&lines("#[cfg(test)]\nmod tests;\nfn c() {}\n"));
        assert_eq!(marked, [true, true, false]);
    }
}
