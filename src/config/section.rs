//! One section of the file: its keys read by the table, everything else a mistake with a suggestion.

use super::endpoint::EndpointError;
use super::pasted::{INSTEAD, NOT_NEEDED, UNSUPPORTED, told_of};
use super::settings::{Endpoint, Identity, NamedFile, Place, TlsVersion};
use super::table::{Kind as Written, find, keys_under};
use super::tree::{Kind, Mistake, Node, expand};
use super::values::{self, Secret};
use http::Uri;
use std::time::Duration;

/// What every section needs: where mistakes go, and the environment.
pub struct Context<'e> {
    /// Collected mistakes.
    pub mistakes: Vec<Mistake>,
    /// Collected warnings: what works and may not be meant.
    pub warnings: Vec<Mistake>,
    /// Looks a variable up.
    pub environment: &'e dyn Fn(&str) -> Option<String>,
}

impl Context<'_> {
    /// Notes a mistake.
    pub fn mistake(&mut self, line: usize, text: impl Into<String>) {
        self.mistakes.push(Mistake { line, text: text.into() });
    }

    /// The text of a scalar, variables replaced.
    pub fn text(&mut self, node: &Node, name: &str) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => match expand(text, self.environment) {
                Ok(text) => Some(text),
                Err(problem) => {
                    self.mistake(node.line, format!("`{name}`: {problem}"));
                    None
                }
            },
            Kind::Null => None,
            Kind::Map(_) | Kind::List(_) => {
                self.mistake(node.line, format!("`{name}` must be one value, not a list or a section"));
                None
            }
        }
    }

    /// The members of a section; a missing value is an empty section.
    pub fn members<'n>(&mut self, node: &'n Node, name: &str) -> &'n [(String, usize, Node)] {
        match &node.kind {
            Kind::Map(members) => members,
            Kind::Null => &[],
            Kind::Text(_) | Kind::List(_) => {
                self.mistake(node.line, format!("`{name}` must be a section of keys and values"));
                &[]
            }
        }
    }
}

/// One section with its path in the table.
pub struct Section<'n> {
    path: &'static str,
    shown: String,
    /// Line of its name.
    pub line: usize,
    members: &'n [(String, usize, Node)],
}

impl<'n> Section<'n> {
    /// Opens a section and reports unknown keys.
    pub fn open(context: &mut Context<'_>, path: &'static str, shown: &str, node: Option<&'n Node>) -> Section<'n> {
        Section::open_with(context, path, &[], shown, node)
    }

    /// The same where keys of `others` may stand as well, which somebody else reads.
    pub fn open_with(
        context: &mut Context<'_>,
        path: &'static str,
        others: &[&'static str],
        shown: &str,
        node: Option<&'n Node>,
    ) -> Section<'n> {
        let members = node.map_or(&[][..], |node| context.members(node, shown));
        let mut known = others.to_vec();
        known.extend(keys_under(path));
        for (key, line, _) in members {
            let whole = format!("{path}::{key}");
            if let Some(words) = told_of(NOT_NEEDED, &whole) {
                let text = format!("`{shown}::{key}` is not needed and does nothing: {words}");
                context.warnings.push(Mistake { line: *line, text });
            } else if let Some(words) = told_of(INSTEAD, &whole) {
                context.mistake(*line, format!("`{shown}::{key}` is not supported by why502: {words}"));
            } else if UNSUPPORTED.contains(&whole.as_str()) {
                let text = format!("`{shown}::{key}` is not supported by why502; it has {} here", known.join(", "));
                context.mistake(*line, text);
            } else if !known.contains(&key.as_str()) {
                context.mistake(*line, unknown_key(shown, key, &known));
            }
        }
        Section { path, shown: shown.to_owned(), line: node.map_or(0, |node| node.line), members }
    }

    /// A section whose other keys somebody else looks at.
    pub fn unchecked(path: &'static str, shown: &str, node: Option<&'n Node>) -> Section<'n> {
        let members = match node.map(|node| &node.kind) {
            Some(Kind::Map(members)) => members.as_slice(),
            _ => &[],
        };
        Section { path, shown: shown.to_owned(), line: node.map_or(0, |node| node.line), members }
    }

    /// A section inside.
    pub fn section(&self, context: &mut Context<'_>, key: &str, path: &'static str) -> Section<'n> {
        Section::open(context, path, &format!("{}::{key}", self.shown), self.node(key))
    }

    /// Its whole name, for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// True when the key stands in the file.
    pub fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// True when the key stands in the file with a value. What is wrong with the value has been reported then.
    pub fn has_value(&self, key: &str) -> bool {
        self.node(key).is_some_and(|node| node.kind != Kind::Null)
    }

    /// True when the key stands in the file and lists nothing.
    pub fn is_empty(&self, key: &str) -> bool {
        self.node(key).is_some_and(|node| match &node.kind {
            Kind::Null => true,
            Kind::List(items) => items.is_empty(),
            Kind::Text(_) | Kind::Map(_) => false,
        })
    }

    /// Line of a key, else of the section.
    pub fn line_of(&self, key: &str) -> usize {
        self.members.iter().find(|(known, _, _)| known == key).map_or(self.line, |(_, line, _)| *line)
    }

    fn node(&self, key: &str) -> Option<&'n Node> {
        self.members.iter().find(|(known, _, _)| known == key).map(|(_, _, node)| node)
    }

    /// A text, or the default of the table; `None` when there is neither.
    pub fn text(&self, context: &mut Context<'_>, key: &str) -> Option<String> {
        let written = self.node(key).and_then(|node| context.text(node, &format!("{}::{key}", self.shown)));
        let default =
            find(&format!("{}::{key}", self.path)).map(|row| row.default).filter(|default| !default.is_empty());
        written.or_else(|| default.map(str::to_owned))
    }

    /// Where a key stands.
    pub fn place(&self, key: &str) -> Place {
        Place { key: format!("{}::{key}", self.shown), line: self.line_of(key) }
    }

    /// A file.
    pub fn file(&self, context: &mut Context<'_>, key: &str) -> Option<NamedFile> {
        self.text(context, key).map(|path| NamedFile { path: path.into(), place: self.place(key) })
    }

    /// Certificate and key, which go together.
    pub fn identity(&self, context: &mut Context<'_>) -> Option<Identity> {
        let (cert_file, key_file) = (self.file(context, "cert_file"), self.file(context, "key_file"));
        if self.has_value("cert_file") != self.has_value("key_file") {
            context.mistake(self.line, format!("`{}` needs both `cert_file` and `key_file`", self.shown));
        }
        cert_file.zip(key_file).map(|(cert_file, key_file)| Identity { cert_file, key_file })
    }

    /// An endpoint, read by one of the functions of [`super::endpoint`].
    pub fn endpoint(
        &self,
        context: &mut Context<'_>,
        key: &str,
        read: impl Fn(&str) -> Result<Uri, EndpointError>,
    ) -> Option<Endpoint> {
        let text = self.text(context, key)?;
        let place = self.place(key);
        match read(&text) {
            Ok(url) => Some(Endpoint { url, place }),
            Err(problem) => {
                context.mistake(place.line, format!("`{}`: {problem}", place.key));
                None
            }
        }
    }

    /// A duration within the table's range.
    pub fn duration(&self, context: &mut Context<'_>, key: &str) -> Duration {
        let Some(Written::Duration(from, to)) = self.kind(key) else { return Duration::ZERO };
        let range = values::duration(from).zip(values::duration(to));
        self.parsed(context, key, &format!("a duration such as 8s or 1m30s, {from} to {to}"), |text| {
            values::duration(text).filter(|value| range.is_none_or(|(from, to)| (from..=to).contains(value)))
        })
    }

    /// A size within the table's range.
    pub fn bytes(&self, context: &mut Context<'_>, key: &str) -> usize {
        let Some(Written::Bytes(from, to)) = self.kind(key) else { return 0 };
        let range = values::bytes(from).zip(values::bytes(to));
        self.parsed(context, key, &format!("a size such as 4MiB, {from} to {to}"), |text| {
            values::bytes(text).filter(|value| range.is_none_or(|(from, to)| (from..=to).contains(value)))
        })
    }

    /// A whole number within the table's range.
    pub fn count(&self, context: &mut Context<'_>, key: &str) -> usize {
        let Some(Written::Count(from, to)) = self.kind(key) else { return 0 };
        self.parsed(context, key, &format!("a whole number, {from} to {to}"), |text| {
            text.parse::<u64>()
                .ok()
                .filter(|value| (from..=to).contains(value))
                .and_then(|value| usize::try_from(value).ok())
        })
    }

    /// A number within the table's range.
    pub fn number(&self, context: &mut Context<'_>, key: &str) -> f64 {
        let Some(Written::Number(from, to)) = self.kind(key) else { return 0.0 };
        self.parsed(context, key, &format!("a number, {from} to {to}"), |text| {
            text.parse::<f64>().ok().filter(|value| (from..=to).contains(value))
        })
    }

    /// The least version of TLS.
    pub fn tls_version(&self, context: &mut Context<'_>) -> TlsVersion {
        match self.choice(context, "min_version") {
            "1.3" => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self, context: &mut Context<'_>, key: &str) -> bool {
        self.parsed(context, key, "true or false", values::boolean)
    }

    /// One of the table's words.
    pub fn choice(&self, context: &mut Context<'_>, key: &str) -> &'static str {
        let Some(Written::Choice(words)) = self.kind(key) else { return "" };
        self.parsed(context, key, &format!("one of {}", words.join(", ")), |text| {
            words.iter().find(|word| **word == text).copied()
        })
    }

    /// A time zone; `None` when none is written.
    pub fn zone(&self, context: &mut Context<'_>, key: &str) -> Option<i64> {
        self.has(key).then(|| {
            self.parsed(context, key, "an offset such as +02:00, or UTC", |text| values::zone(text).map(Some))
        })?
    }

    /// A list of texts.
    pub fn list(&self, context: &mut Context<'_>, key: &str) -> Vec<(String, usize)> {
        let name = format!("{}::{key}", self.shown);
        match self.node(key) {
            None => Vec::new(),
            Some(Node { kind: Kind::List(items), .. }) => {
                for item in items.iter().filter(|item| item.kind == Kind::Null) {
                    context.mistake(item.line, format!("`{name}` has an empty entry; take it out"));
                }
                items.iter().filter_map(|item| context.text(item, &name).map(|text| (text, item.line))).collect()
            }
            Some(Node { kind: Kind::Null, .. }) => Vec::new(),
            Some(node) => {
                context.mistake(node.line, format!("`{name}` must be a list such as [a, b]"));
                Vec::new()
            }
        }
    }

    /// The sections of a list, each with its name for messages and its number from 1.
    pub fn sections(&self, context: &mut Context<'_>, key: &str, path: &'static str) -> Vec<Section<'n>> {
        let name = format!("{}::{key}", self.shown);
        match self.node(key).map(|node| (node, &node.kind)) {
            None | Some((_, Kind::Null)) => Vec::new(),
            Some((_, Kind::List(items))) => {
                let open = |(index, item)| Section::open(context, path, &format!("{name}::{}", index + 1), Some(item));
                items.iter().enumerate().map(open).collect()
            }
            Some((node, _)) => {
                context.mistake(node.line, format!("`{name}` must be a list of sections, each behind a `-`"));
                Vec::new()
            }
        }
    }

    /// Names of attributes with the values that they must have.
    pub fn selector(&self, context: &mut Context<'_>, key: &str) -> Vec<(String, String)> {
        let name = format!("{}::{key}", self.shown);
        let members = self.node(key).map_or(&[][..], |node| context.members(node, &name));
        if members.is_empty() {
            let text = format!("`{name}` names no attribute; write one with its value, such as {{service.name: shop}}");
            context.mistake(self.line_of(key), text);
        }
        let mut pairs = Vec::new();
        for (attribute, line, value) in members {
            match context.text(value, &format!("{name}::{attribute}")).filter(|text| !text.is_empty()) {
                Some(text) => pairs.push((attribute.clone(), text)),
                None if matches!(value.kind, Kind::Null | Kind::Text(_)) => {
                    context.mistake(*line, format!("`{name}::{attribute}` needs a value"));
                }
                None => {}
            }
        }
        pairs
    }

    /// A secret that is sent as a header: its value stays out of every message.
    pub fn secret(&self, context: &mut Context<'_>, key: &str) -> Option<Secret> {
        let text = self.text(context, key).filter(|text| !text.is_empty())?;
        if http::HeaderValue::from_str(&text).is_err() {
            let place = self.place(key);
            context.mistake(place.line, format!("`{}`: take line breaks and control characters out", place.key));
            return None;
        }
        Some(Secret::new(text))
    }

    /// Header names and secret values.
    pub fn headers(&self, context: &mut Context<'_>, key: &str) -> Vec<(String, Secret)> {
        let name = format!("{}::{key}", self.shown);
        let Some(node) = self.node(key) else { return Vec::new() };
        let members = context.members(node, &name);
        let mut headers = Vec::new();
        for (header, line, value) in members {
            let Some(text) = context.text(value, &format!("{name}::{header}")) else { continue };
            // The value stays out of every message.
            if http::HeaderName::try_from(header.to_ascii_lowercase()).is_err()
                || http::HeaderValue::from_str(&text).is_err()
            {
                context.mistake(
                    *line,
                    format!("`{name}::{header}`: not a valid HTTP header; take line breaks and control characters out"),
                );
                continue;
            }
            headers.push((header.to_ascii_lowercase(), Secret::new(text)));
        }
        headers
    }

    fn kind(&self, key: &str) -> Option<Written> {
        find(&format!("{}::{key}", self.path)).map(|row| row.kind)
    }

    fn parsed<T: Default>(
        &self,
        context: &mut Context<'_>,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let default = find(&format!("{}::{key}", self.path)).and_then(|row| parse(row.default)).unwrap_or_default();
        let Some(node) = self.node(key) else { return default };
        let name = format!("{}::{key}", self.shown);
        let Some(text) = context.text(node, &name) else { return default };
        parse(&text).unwrap_or_else(|| {
            context.mistake(node.line, format!("`{name}`: `{text}` is not {expected}"));
            default
        })
    }
}

/// The sentence about a key that we do not have, with the nearest one that we do.
pub fn unknown_key(section: &str, key: &str, known: &[&str]) -> String {
    unknown(section, "key", key, key, known)
}

/// The same for any `kind` of thing; `compared` is the part of its `name` that we know others of.
pub fn unknown(section: &str, kind: &str, name: &str, compared: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(compared, known), *known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 3 && distance < nearest.len() => {
            format!("`{section}` has no {kind} `{name}`; did you mean `{nearest}`?")
        }
        Some(_) => format!("`{section}` has no {kind} `{name}`; it has {}", known.join(", ")),
        None => format!("`{section}` has no {kind} `{name}`; it is empty"),
    }
}
