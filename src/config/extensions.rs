//! `extensions`: who may send, who we are towards a backend, and where probes are answered, in the collector's words.

use super::pasted::{EXTENSIONS_NOT_NEEDED, told_of};
use super::section::{Context, Section, unknown};
use super::settings::{Authenticator, Basic, Bearer, HealthCheck, Listener, NamedFile};
use super::tree::{Mistake, Node};
use super::values::Secret;
use super::{check_name, endpoint, receivers, type_of};

/// Types of extensions that why502 has.
const TYPES: [&str; 3] = ["basicauth", "bearertokenauth", "health_check"];

/// What the section names, by name; `None` is one that is not to be used.
pub(super) struct Extensions {
    all: Vec<(String, Option<Authenticator>)>,
    /// The first health check that the service starts.
    pub(super) health: Option<HealthCheck>,
}

impl Extensions {
    /// Reads the section, and the list of those that the service starts.
    pub(super) fn read(context: &mut Context<'_>, node: Option<&Node>, listed: &[(String, usize)]) -> Extensions {
        let mut all = Vec::new();
        let mut health = Health::default();
        for (name, line, value) in node.map_or(&[][..], |node| context.members(node, "extensions")) {
            check_name(context, "extensions", name, *line);
            let shown = format!("extensions::{name}");
            let authenticator = match type_of(name) {
                "bearertokenauth" => bearer(context, &shown, value).map(Authenticator::Bearer),
                "basicauth" => basic(context, &shown, value).map(Authenticator::Basic),
                "health_check" => {
                    let check = health_check(context, &shown, value);
                    health.take(context, name, *line, check, listed);
                    None
                }
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
        Extensions { all, health: health.chosen.map(|(_, check)| check) }
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

/// Which health check is started.
#[derive(Default)]
struct Health {
    chosen: Option<(String, HealthCheck)>,
}

impl Health {
    fn take(
        &mut self,
        context: &mut Context<'_>,
        name: &str,
        line: usize,
        check: HealthCheck,
        listed: &[(String, usize)],
    ) {
        let Some((_, listed_at)) = listed.iter().find(|(listed, _)| listed == name) else {
            let text = format!("`extensions::{name}` is not in `service::extensions` and does nothing");
            context.warnings.push(Mistake { line, text });
            return;
        };
        match &self.chosen {
            Some((first, _)) => {
                let text = format!("`service::extensions`: one health check is enough, and `{first}` is one already");
                context.mistake(*listed_at, text);
            }
            None => self.chosen = Some((name.to_owned(), check)),
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

fn health_check(context: &mut Context<'_>, shown: &str, node: &Node) -> HealthCheck {
    let section = Section::open(context, "health_check", shown, Some(node));
    let path = section.text(context, "path").unwrap_or_default();
    // axum takes braces for a pattern, and a route that is there twice ends the program.
    if !path.starts_with('/') || path.contains(['{', '}', '?', '#', ' ', '*']) {
        let text = format!("`{shown}::path`: `{path}` is no path such as /healthz, which begins with a slash");
        context.mistake(section.line_of("path"), text);
    }
    let endpoint = section.text(context, "endpoint").unwrap_or_default();
    let line = section.line_of("endpoint");
    let key = format!("{shown}::endpoint");
    HealthCheck { listener: plain_listener(context, &key, endpoint, line), key, path }
}

/// A socket for probes or scrapes, whose requests have no body.
pub(super) fn plain_listener(context: &mut Context<'_>, key: &str, endpoint: String, line: usize) -> Listener {
    let (host, port) = endpoint::listen(&endpoint).unwrap_or_else(|| {
        context.mistake(line, format!("`{key}`: `{endpoint}` is not HOST:PORT, such as 127.0.0.1:13133"));
        (String::new(), 0)
    });
    Listener {
        endpoint,
        host,
        port,
        unix: None,
        request_bytes_max: 0,
        requests_max: 1,
        in_flight_bytes_max: 0,
        tls: None,
        auth: None,
        cors: None,
        paths: Default::default(),
        keepalive: receivers::keepalive(context, None),
        line,
    }
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
