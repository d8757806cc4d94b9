//! `extensions`: who may send, and who we are towards a backend, in the collector's words.

use super::section::{Context, Section, unknown};
use super::settings::{Authenticator, Basic, Bearer, NamedFile};
use super::table::{EXTENSIONS_NOT_NEEDED, told_of};
use super::tree::{Mistake, Node};
use super::values::Secret;
use super::{check_name, type_of};

/// Types of extensions that why502 has.
const TYPES: [&str; 2] = ["basicauth", "bearertokenauth"];

/// What the section names, by name; `None` is one that is not to be used.
pub(super) struct Extensions {
    all: Vec<(String, Option<Authenticator>)>,
}

impl Extensions {
    /// Reads the section, and the list of those that the service starts.
    pub(super) fn read(context: &mut Context<'_>, node: Option<&Node>, listed: &[(String, usize)]) -> Extensions {
        let mut all = Vec::new();
        for (name, line, value) in node.map_or(&[][..], |node| context.members(node, "extensions")) {
            check_name(context, "extensions", name, *line);
            let shown = format!("extensions::{name}");
            let authenticator = match type_of(name) {
                "bearertokenauth" => bearer(context, &shown, value).map(Authenticator::Bearer),
                "basicauth" => basic(context, &shown, value).map(Authenticator::Basic),
                other => {
                    match told_of(EXTENSIONS_NOT_NEEDED, other) {
                        Some(words) => {
                            let text = format!("`{shown}` is not needed and does nothing: {words}");
                            context.warnings.push(Mistake { line: *line, text });
                        }
                        None => {
                            let mut text = unknown("extensions", "extension", name, other, &TYPES);
                            text.push_str("; leave others to the collector in front or behind");
                            context.mistake(*line, text);
                        }
                    }
                    None
                }
            };
            if authenticator.is_some() && !listed.iter().any(|(listed, _)| listed == name) {
                let text =
                    format!("`{shown}` is not named under `service::extensions`; the collector would not start it");
                context.warnings.push(Mistake { line: *line, text });
            }
            all.push((name.clone(), authenticator));
        }
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        for (name, line) in listed.iter().filter(|(name, _)| !names.contains(&name.as_str())) {
            context.mistake(*line, unknown("service::extensions", "entry", name, name, &names));
        }
        Extensions { all }
    }

    /// Who is named by `auth: {authenticator: NAME}` in a section.
    pub(super) fn of(
        &self,
        context: &mut Context<'_>,
        section: &Section<'_>,
        path: &'static str,
    ) -> Option<Authenticator> {
        if !section.has("auth") {
            return None;
        }
        let auth = section.section(context, "auth", path);
        let place = auth.place("authenticator");
        let Some(name) = auth.text(context, "authenticator") else {
            let text = format!("`{}` needs an `authenticator`, such as bearertokenauth", section.place("auth").key);
            context.mistake(section.line_of("auth"), text);
            return None;
        };
        match self.all.iter().find(|(known, _)| *known == name) {
            // What is wrong with it has been said where it stands.
            Some((_, authenticator)) => authenticator.clone(),
            None => {
                let text = format!("`{}`: `{name}` is not defined under `extensions`; write it there", place.key);
                context.mistake(place.line, text);
                None
            }
        }
    }
}

fn bearer(context: &mut Context<'_>, shown: &str, node: &Node) -> Option<Bearer> {
    let section = Section::open(context, "bearertokenauth", shown, Some(node));
    let header = section.text(context, "header").unwrap_or_default().to_ascii_lowercase();
    let header = http::HeaderName::try_from(header).ok();
    if header.is_none() {
        let place = section.place("header");
        context.mistake(place.line, format!("`{}` is no name of a header; leave it out for Authorization", place.key));
    }
    let scheme = section.text(context, "scheme").unwrap_or_default();
    let file = section.file(context, "filename");
    let mut tokens: Vec<Secret> =
        section.list(context, "tokens").into_iter().map(|(text, _)| Secret::new(text)).collect();
    tokens.extend(section.text(context, "token").map(Secret::new));
    // An empty secret would let everybody in, mostly for want of a variable.
    if tokens.iter().any(|token| !is_sendable(token.reveal())) {
        let text = format!("`{shown}`: a token is empty or no text for a header; is its variable set?");
        context.mistake(section.line, text);
        return None;
    }
    match (tokens.is_empty(), &file) {
        (true, None) => {
            context.mistake(section.line, format!("`{shown}` names no token; write `token`, `tokens` or `filename`"));
            return None;
        }
        (false, Some(file)) => {
            let text = format!("`{}`: its tokens are used instead of `token` and `tokens`; keep one", file.place.key);
            context.warnings.push(Mistake { line: file.place.line, text });
            tokens.clear();
        }
        _ => {}
    }
    Some(Bearer { header: header?, scheme, tokens, file, line: section.line })
}

fn basic(context: &mut Context<'_>, shown: &str, node: &Node) -> Option<Basic> {
    let section = Section::open(context, "basicauth", shown, Some(node));
    let htpasswd = section.section(context, "htpasswd", "basicauth::htpasswd");
    let file = htpasswd.file(context, "file");
    let inline = htpasswd.text(context, "inline").map(Secret::new);
    let client = section.section(context, "client_auth", "basicauth::client_auth");
    let username = client.text(context, "username");
    let password = client.text(context, "password").map(Secret::new);
    if file.is_none() && inline.is_none() && username.is_none() {
        let text = format!("`{shown}` names nobody; write `htpasswd` for a receiver, or `client_auth` for an exporter");
        context.mistake(section.line, text);
        return None;
    }
    if username.is_some() != password.is_some() || username.as_deref().is_some_and(|name| name.contains(':')) {
        let text = format!("`{shown}::client_auth` needs both `username`, without a colon, and `password`");
        context.mistake(section.line_of("client_auth"), text);
        return None;
    }
    Some(Basic { file, inline, client: username.zip(password), line: section.line })
}

/// What can stand in a header behind the scheme.
fn is_sendable(token: &str) -> bool {
    !token.trim().is_empty() && http::HeaderValue::from_str(token).is_ok()
}

/// Every file that an authenticator reads.
impl Authenticator {
    /// It is read when the program starts and again when it has changed.
    pub fn file(&self) -> Option<&NamedFile> {
        match self {
            Authenticator::Bearer(bearer) => bearer.file.as_ref(),
            Authenticator::Basic(basic) => basic.file.as_ref(),
        }
    }
}
