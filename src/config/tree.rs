//! YAML as a tree in which every node knows its line.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Largest file that is read; a configuration with a hundred exporters is some 50 KiB.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Nodes of one file, aliases expanded: what a bomb of aliases would multiply.
const NODES_MAX: usize = 100_000;
/// Maps in maps: the deepest key that we have is 8 deep.
const DEPTH_MAX: usize = 32;

/// One node with its line, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line, from 1.
    pub line: usize,
    /// Content.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A scalar as it is written; a plain empty one, `~` and `null` are [`Kind::Null`].
    Text(String),
    /// No value.
    Null,
    /// Key, its line, value; in order.
    Map(Vec<(String, usize, Node)>),
    /// Elements in order.
    List(Vec<Node>),
}

/// A mistake with its line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

/// Reads a document.
///
/// # Errors
/// The first mistake of syntax: what follows it cannot be trusted.
pub fn read(text: &str) -> Result<Node, Mistake> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Mistake {
            line: 1,
            text: format!("the file is larger than {FILE_BYTES_MAX} bytes; is it a configuration?"),
        });
    }
    let mut builder = Builder { anchors: Vec::new(), nodes: 0 };
    let mut events = Parser::new_from_str(text);
    let mut root = None;
    while let Some(event) = events.next() {
        let (event, span) = event
            .map_err(|error| Mistake { line: error.marker().line(), text: format!("not YAML: {}", error.info()) })?;
        let line = span.start.line();
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if root.is_some() => {
                return Err(Mistake { line, text: "a second document begins here; keep one in the file".to_owned() });
            }
            event => root = Some(builder.node(event, line, &mut events, 0)?),
        }
    }
    root.ok_or_else(|| Mistake {
        line: 1,
        text: "the file is empty; leave `--config` away for the embedded default".to_owned(),
    })
}

struct Builder {
    anchors: Vec<(usize, Node)>,
    nodes: usize,
}

impl Builder {
    fn node<'i>(
        &mut self,
        event: Event<'i>,
        line: usize,
        events: &mut Parser<'i, impl saphyr_parser::Input>,
        depth: usize,
    ) -> Result<Node, Mistake> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(Mistake { line, text: "nested or repeated too deeply for a configuration".to_owned() });
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null");
                (Node { line, kind: if null { Kind::Null } else { Kind::Text(text.into_owned()) } }, anchor)
            }
            Event::Alias(anchor) => {
                let found = self.anchors.iter().rev().find(|(known, _)| *known == anchor).map(|(_, node)| node.clone());
                let node =
                    found.ok_or_else(|| Mistake { line, text: "this alias has no anchor above it".to_owned() })?;
                self.nodes += count(&node);
                (node, 0)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, line) = next(events)?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, line, events, depth + 1)?);
                }
                (Node { line, kind: Kind::List(items) }, anchor)
            }
            Event::MappingStart(anchor, _) => (Node { line, kind: Kind::Map(self.members(events, depth)?) }, anchor),
            _ => return Err(Mistake { line, text: "a value is missing here".to_owned() }),
        };
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
        Ok(node)
    }

    fn members<'i>(
        &mut self,
        events: &mut Parser<'i, impl saphyr_parser::Input>,
        depth: usize,
    ) -> Result<Vec<(String, usize, Node)>, Mistake> {
        let mut members: Vec<(String, usize, Node)> = Vec::new();
        loop {
            let (event, line) = next(events)?;
            let key = match event {
                Event::MappingEnd => return Ok(members),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Mistake { line, text: "a key must be a plain word".to_owned() }),
            };
            if let Some((_, first, _)) = members.iter().find(|(known, _, _)| *known == key) {
                return Err(Mistake {
                    line,
                    text: format!("`{key}` stands here a second time, first in line {first}; keep one"),
                });
            }
            let (event, value_line) = next(events)?;
            let value = self.node(event, value_line, events, depth + 1)?;
            members.push((key, line, value));
        }
    }
}

fn next<'i>(events: &mut Parser<'i, impl saphyr_parser::Input>) -> Result<(Event<'i>, usize), Mistake> {
    match events.next() {
        Some(Ok((event, span))) => Ok((event, span.start.line())),
        Some(Err(error)) => Err(Mistake { line: error.marker().line(), text: format!("not YAML: {}", error.info()) }),
        None => Err(Mistake { line: 1, text: "the file ends in the middle of a value".to_owned() }),
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Text(_) | Kind::Null => 0,
        Kind::Map(members) => members.iter().map(|(_, _, value)| count(value)).sum(),
        Kind::List(items) => items.iter().map(count).sum(),
    }
}

/// Replaces `${env:NAME}`, `${env:NAME:-default}` and `${NAME}`; `$$` is a dollar sign.
///
/// # Errors
/// What stands in the braces and cannot be replaced.
pub fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(index) = rest.find('$') {
        out.push_str(rest.get(..index).unwrap_or_default());
        rest = rest.get(index + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            out.push_str(&variable(inner, environment)?);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(inner: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let name = match inner.split_once(':') {
        Some(("env", name)) => name,
        Some((scheme, _)) if !inner.contains(":-") || scheme.contains('/') => {
            return Err(format!("`${{{inner}}}`: only `${{env:NAME}}` is replaced here"));
        }
        _ => inner,
    };
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    environment(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        let told = format!("the environment has no `{name}`; set it, or write `${{env:{name}:-default}}`");
        // Variables of nginx are written alike.
        if inner == name { format!("{told}, or `$${{{name}}}` where no variable is meant") } else { told }
    })
}
