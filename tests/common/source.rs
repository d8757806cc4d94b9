//! What a Rust source names: its paths, macros and words, read token by token. Comments, literals and what stands under
//! `#[cfg(test)]` are left out.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// One token: a word, `::`, or a sign.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A path as the compiler resolves it, from `std`, from another crate or from `crate`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// Words before `!` that are no macro.
const KEYWORDS: [&str; 8] = ["if", "while", "match", "return", "in", "else", "let", "as"];
const PRIMITIVES: [&str; 18] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64", "bool",
    "char", "str", "Self",
];

pub(crate) fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The tokens of a source.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        let at = line;
        match first {
            '\n' => line += 1,
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|next| *next != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => line += skip_comment(&mut rest),
            '"' => line += skip_string(&mut rest),
            '\'' => skip_char_or_lifetime(&mut rest),
            _ if first.is_alphanumeric() || first == '_' => {
                let mut word = String::from(first);
                while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                match (word.as_str(), rest.peek()) {
                    ("r" | "br" | "cr", Some('"' | '#')) => line += skip_raw_string(&mut rest),
                    ("b" | "c", Some('"')) => {
                        rest.next();
                        line += skip_string(&mut rest);
                    }
                    ("b", Some('\'')) => {
                        rest.next();
                        skip_char_or_lifetime(&mut rest);
                    }
                    _ => found.push(Token { text: word, line: at }),
                }
            }
            ':' if rest.peek() == Some(&':') => {
                rest.next();
                found.push(Token { text: "::".to_owned(), line: at });
            }
            _ if first.is_whitespace() => {}
            _ => found.push(Token { text: first.to_string(), line: at }),
        }
    }
    without_tests(found)
}

/// The rest of a comment that may hold others; returns its line feeds.
fn skip_comment(rest: &mut Peekable<Chars<'_>>) -> usize {
    let (mut depth, mut lines) = (0, 0);
    // The first `/` is read.
    let mut before = '/';
    for next in rest.by_ref() {
        lines += usize::from(next == '\n');
        match (before, next) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                before = next;
                continue;
            }
        }
        before = ' ';
        if depth == 0 {
            break;
        }
    }
    lines
}

fn skip_string(rest: &mut Peekable<Chars<'_>>) -> usize {
    let mut lines = 0;
    while let Some(next) = rest.next() {
        match next {
            '"' => break,
            '\\' => lines += usize::from(rest.next() == Some('\n')),
            '\n' => lines += 1,
            _ => {}
        }
    }
    lines
}

fn skip_raw_string(rest: &mut Peekable<Chars<'_>>) -> usize {
    let mut hashes = 0;
    while rest.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    if rest.next_if_eq(&'"').is_none() {
        return 0;
    }
    let mut lines = 0;
    while let Some(next) = rest.next() {
        lines += usize::from(next == '\n');
        if next == '"' && (0..hashes).all(|_| rest.next_if_eq(&'#').is_some()) {
            break;
        }
    }
    lines
}

fn skip_char_or_lifetime(rest: &mut Peekable<Chars<'_>>) {
    match rest.next() {
        Some('\\') => {
            rest.next();
            while rest.next().is_some_and(|next| next != '\'') {}
        }
        Some(_) => {
            let is_char = rest.next_if_eq(&'\'').is_some();
            while !is_char && rest.next_if(|next| next.is_alphanumeric() || *next == '_').is_some() {}
        }
        None => {}
    }
}

fn text_at(tokens: &[Token], index: usize) -> &str {
    tokens.get(index).map_or("", |token| &token.text)
}

/// Leaves out each item under `#[cfg(test)]`; what comes after it stays.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const HEAD: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if HEAD.iter().enumerate().all(|(offset, word)| text_at(&tokens, index + offset) == *word) {
            index = end_of_item(&tokens, index + HEAD.len());
        } else {
            kept.push(tokens[index].clone());
            index += 1;
        }
    }
    kept
}

fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    let mut is_use = false;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "use" if depth == 0 => is_use = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 && !is_use {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The macros that are called, but for those that the file makes itself.
pub(crate) fn macros(tokens: &[Token]) -> Vec<(String, usize)> {
    let called = |index: usize| {
        is_word(text_at(tokens, index))
            && text_at(tokens, index + 1) == "!"
            && matches!(text_at(tokens, index + 2), "(" | "[" | "{")
            && !KEYWORDS.contains(&text_at(tokens, index))
    };
    let own: Vec<&str> = (0..tokens.len())
        .filter(|index| text_at(tokens, *index) == "macro_rules")
        .map(|index| text_at(tokens, index + 2))
        .collect();
    (0..tokens.len())
        .filter(|index| called(*index) && !own.contains(&text_at(tokens, *index)))
        .map(|index| (tokens[index].text.clone(), tokens[index].line))
        .collect()
}

/// Every path that a file of this module names, each as far as it is written out.
pub(crate) fn paths(tokens: &[Token], module: &[&str]) -> Vec<Named> {
    let mut reader = Paths { tokens, module, bound: BTreeMap::new(), found: Vec::new() };
    // What is imported at the end of a file counts at its beginning.
    let inside = reader.imports();
    reader.modules();
    for index in 0..tokens.len() {
        if !inside.iter().any(|(from, to)| (*from..*to).contains(&index)) {
            reader.inline(index);
        }
    }
    reader.found
}

struct Paths<'t> {
    tokens: &'t [Token],
    module: &'t [&'t str],
    /// What a name stands for.
    bound: BTreeMap<String, Vec<String>>,
    found: Vec<Named>,
}

impl Paths<'_> {
    fn text(&self, index: usize) -> &str {
        text_at(self.tokens, index)
    }

    /// Reads each `use`; returns where they stand.
    fn imports(&mut self) -> Vec<(usize, usize)> {
        let mut inside = Vec::new();
        for index in 0..self.tokens.len() {
            // `use<'a>` says what an opaque type captures.
            if self.text(index) == "use" && self.text(index + 1) != "<" {
                let mut at = index + 1;
                self.tree(&mut at, Vec::new());
                inside.push((index, at));
            }
        }
        inside
    }

    /// One tree of a `use`, nested braces and all.
    fn tree(&mut self, at: &mut usize, mut prefix: Vec<String>) {
        let line = self.tokens.get(*at).map_or(0, |token| token.line);
        loop {
            match self.text(*at) {
                "::" => *at += 1,
                "{" => {
                    *at += 1;
                    while !matches!(self.text(*at), "}" | "") {
                        self.tree(at, prefix.clone());
                        if self.text(*at) == "," {
                            *at += 1;
                        }
                    }
                    *at += 1;
                    return;
                }
                "as" => {
                    let name = self.text(*at + 1).to_owned();
                    *at += 2;
                    return self.import(prefix, Some(name), line);
                }
                "self" if !prefix.is_empty() => *at += 1,
                word if is_word(word) || word == "*" => {
                    prefix.push(word.to_owned());
                    *at += 1;
                }
                _ => return self.import(prefix, None, line),
            }
        }
    }

    fn import(&mut self, path: Vec<String>, name: Option<String>, line: usize) {
        let Some(name) = name.or_else(|| path.last().cloned()) else { return };
        // A variant of a type that is named here.
        if path.first().is_some_and(|first| first.starts_with(char::is_uppercase)) {
            return;
        }
        let path = self.absolute(path);
        self.found.push(Named { path: path.clone(), line });
        self.bound.insert(name, path);
    }

    fn modules(&mut self) {
        for index in 0..self.tokens.len() {
            if self.text(index) == "mod" && is_word(self.text(index + 1)) {
                let name = self.text(index + 1).to_owned();
                let path = self.module.iter().map(|part| (*part).to_owned()).chain([name.clone()]).collect();
                self.bound.insert(name, path);
            }
        }
    }

    /// A path in the code: two words with `::` between them, or more.
    fn inline(&mut self, index: usize) {
        let before = index.checked_sub(1).map_or("", |before| self.text(before));
        let follows = before == "::" && index.checked_sub(2).is_some_and(|start| is_word(self.text(start)));
        let generic = before == "::" && index.checked_sub(2).is_some_and(|start| self.text(start) == ">");
        let starts = is_word(self.text(index)) && self.text(index + 1) == "::" && !follows && !generic;
        if !starts || matches!(before, "." | "$") || PRIMITIVES.contains(&self.text(index)) {
            return;
        }
        let mut path = vec![self.text(index).to_owned()];
        let mut at = index + 1;
        while self.text(at) == "::" && is_word(self.text(at + 1)) {
            path.push(self.text(at + 1).to_owned());
            at += 2;
        }
        // A function of this file with its types spelled out.
        if path.len() == 1 {
            return;
        }
        let first = path.first().cloned().unwrap_or_default();
        let path = match self.bound.get(&first) {
            Some(whole) if before != "::" => whole.iter().cloned().chain(path.into_iter().skip(1)).collect(),
            // A type of this file or of the prelude.
            _ if first.starts_with(char::is_uppercase) => return,
            _ => self.absolute(path),
        };
        self.found.push(Named { path, line: self.tokens[index].line });
    }

    /// `self` and `super` taken away, and what an earlier import stands for.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let mut base: Vec<String> = self.module.iter().map(|part| (*part).to_owned()).collect();
        let mut rest = path.into_iter().peekable();
        let mut is_relative = false;
        while let Some(step) = rest.next_if(|word| matches!(word.as_str(), "self" | "super")) {
            is_relative = true;
            if step == "super" {
                base.pop();
            }
        }
        if is_relative {
            return base.into_iter().chain(rest).collect();
        }
        let path: Vec<String> = rest.collect();
        // `pub use edits::Edits` of a module of this file.
        let is_own = path.first().is_some_and(|first| {
            (0..self.tokens.len()).any(|index| self.text(index) == "mod" && self.text(index + 1) == first)
        });
        match path.first().and_then(|first| self.bound.get(first)) {
            _ if is_own => base.into_iter().chain(path).collect(),
            Some(whole) if whole.len() > 1 => whole.iter().cloned().chain(path.into_iter().skip(1)).collect(),
            _ => path,
        }
    }
}
