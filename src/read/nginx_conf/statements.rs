//! The grammar of nginx's configuration (`src/core/ngx_conf_file.c`, `ngx_conf_read_token`): words, quotes, comments,
//! semicolons and braces.
//!
//! ```text
//!  server {  # comment
//!      listen 80;  location ~ "\.(a|b)$" { proxy_pass http://127.0.0.1:8000; }
//!  }
//! ```
//!
//! Blocks of Lua (`content_by_lua_block { ... }`) are skipped by Lua's rules for strings and comments.

use super::Mistake;
use std::ops::Range;

/// Blocks within blocks; real files have five.
const DEPTH_MAX: usize = 64;
/// Statements of one file; the largest generated configurations have some 100,000.
const STATEMENTS_MAX: usize = 1_000_000;

/// One directive, with its block if it has one.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Statement>>,
    /// Where its name begins, from 1.
    pub(super) line: usize,
    /// Its bytes in the text, semicolon included.
    pub(super) range: Range<usize>,
}

/// Reads the statements of a file. What stands before a mistake is kept.
pub(super) fn read(file: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Vec<Statement> {
    let mut parser = Parser { file, bytes: text.as_bytes(), at: 0, line: 1, count: 0, mistakes };
    let mut open: Vec<Statement> = Vec::new();
    let mut statements: Vec<Vec<Statement>> = vec![Vec::new()];
    while let Some((mut statement, end)) = parser.statement() {
        match end {
            End::Semicolon => {
                if let Some(level) = statements.last_mut() {
                    level.push(statement);
                }
            }
            End::Open if statement.name.ends_with("_by_lua_block") => {
                parser.skip_lua();
                statement.block = Some(Vec::new());
                if let Some(level) = statements.last_mut() {
                    level.push(statement);
                }
            }
            End::Open => {
                if open.len() == DEPTH_MAX {
                    parser.mistake(format!("blocks are nested more than {DEPTH_MAX} deep"));
                    break;
                }
                open.push(statement);
                statements.push(Vec::new());
            }
            End::Close => match open.pop() {
                Some(mut block) => {
                    block.block = statements.pop();
                    if let Some(level) = statements.last_mut() {
                        level.push(block);
                    }
                }
                None => parser.mistake("unexpected \"}\": no block is open here".to_owned()),
            },
        }
    }
    if let Some(block) = open.last() {
        let message = format!("the block of \"{}\" that begins in line {} is not closed", block.name, block.line);
        parser.mistake(message);
    }
    while let Some(mut block) = open.pop() {
        block.block = statements.pop();
        if let Some(level) = statements.last_mut() {
            level.push(block);
        }
    }
    statements.pop().unwrap_or_default()
}

enum End {
    Semicolon,
    Open,
    Close,
}

struct Parser<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: usize,
    count: usize,
    mistakes: &'a mut Vec<Mistake>,
}

impl Parser<'_> {
    /// The next statement up to its semicolon or opening brace, or a closing brace; `None` at the end or where the file
    /// cannot be read on.
    fn statement(&mut self) -> Option<(Statement, End)> {
        let mut statement = Statement::default();
        let mut words = 0;
        loop {
            self.skip_blanks();
            let Some(byte) = self.bytes.get(self.at).copied() else {
                if words > 0 {
                    self.mistake(format!("\"{}\" is not ended by \";\" or a block", statement.name));
                }
                return None;
            };
            let end = match byte {
                b';' => Some(End::Semicolon),
                b'{' => Some(End::Open),
                b'}' => Some(End::Close),
                _ => None,
            };
            if let Some(end) = end {
                self.at += 1;
                statement.range.end = self.at;
                let is_close = matches!(end, End::Close);
                if is_close == (words > 0) {
                    self.mistake(format!("unexpected \"{}\"", char::from(byte)));
                    if is_close {
                        return Some((Statement::default(), End::Close));
                    }
                    continue;
                }
                return Some((statement, end));
            }
            if words == 0 {
                statement.line = self.line;
                statement.range = self.at..self.at;
                self.count += 1;
                if self.count > STATEMENTS_MAX {
                    self.mistake(format!("the file has more than {STATEMENTS_MAX} statements"));
                    return None;
                }
            }
            let word = self.word(byte)?;
            if words == 0 {
                statement.name = word;
            } else {
                statement.arguments.push(word);
            }
            words += 1;
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'#' => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                byte if byte.is_ascii_whitespace() => self.step(),
                _ => return,
            }
        }
    }

    fn step(&mut self) {
        self.line += usize::from(self.bytes.get(self.at) == Some(&b'\n'));
        self.at += 1;
    }

    /// One word; `None` when its quote is not closed.
    fn word(&mut self, first: u8) -> Option<String> {
        let quote = Some(first).filter(|byte| matches!(byte, b'"' | b'\''));
        let line = self.line;
        let mut word = Vec::new();
        if quote.is_some() {
            self.at += 1;
        }
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match (quote, byte) {
                (Some(quote), byte) if byte == quote => {
                    self.at += 1;
                    return Some(String::from_utf8_lossy(&word).into_owned());
                }
                (None, b';') => break,
                (None, b'{') if word.last() != Some(&b'$') => break,
                (None, byte) if byte.is_ascii_whitespace() => break,
                (_, b'\\') => {
                    let (plain, taken) = match self.bytes.get(self.at + 1) {
                        Some(b'n') => (b'\n', 2),
                        Some(b't') => (b'\t', 2),
                        Some(b'r') => (b'\r', 2),
                        Some(byte @ (b'"' | b'\'' | b'\\')) => (*byte, 2),
                        _ => (b'\\', 1),
                    };
                    word.push(plain);
                    self.at += taken;
                    // The byte after a backslash never ends a word: `\;`, `\{`, `\ `.
                    if taken == 1
                        && let Some(byte) = self.bytes.get(self.at).copied()
                    {
                        word.push(byte);
                        self.step();
                    }
                }
                (_, byte) => {
                    word.push(byte);
                    self.step();
                }
            }
        }
        if let Some(quote) = quote {
            self.line = line;
            self.mistake(format!("the quote {} is not closed", char::from(quote)));
            self.at = self.bytes.len();
            return None;
        }
        Some(String::from_utf8_lossy(&word).into_owned())
    }

    /// Skips to the brace that closes a block of Lua.
    fn skip_lua(&mut self) {
        let mut depth = 1;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            match byte {
                b'-' if rest.starts_with(b"--[[") => self.skip_past(b"]]"),
                b'-' if rest.starts_with(b"--") => self.skip_past(b"\n"),
                b'[' if rest.starts_with(b"[[") => self.skip_past(b"]]"),
                b'"' | b'\'' => self.skip_lua_string(byte),
                b'{' => {
                    depth += 1;
                    self.step();
                }
                b'}' => {
                    depth -= 1;
                    self.step();
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.step(),
            }
        }
        self.mistake("a block of Lua is not closed".to_owned());
    }

    fn skip_lua_string(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            self.step();
            if byte == quote || byte == b'\n' {
                return;
            }
            if byte == b'\\' && self.at < self.bytes.len() {
                self.step();
            }
        }
    }

    fn skip_past(&mut self, end: &[u8]) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = memchr::memmem::find(rest, end).map_or(rest.len(), |index| index + end.len());
        for _ in 0..length {
            self.step();
        }
    }

    fn mistake(&mut self, message: String) {
        super::note(self.mistakes, Mistake { file: self.file.to_owned(), line: self.line, message });
    }
}
