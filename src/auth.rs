//! Tokens and users out of the configuration and its files: for listeners, which ask for them, and for exporters, which
//! show them. No value of them is in any message.

use crate::config::settings::{Authenticator, Basic, Bearer, NamedFile};
use crate::config::values::Secret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, header};
use std::collections::BTreeMap;
use std::io::Read;

/// Largest file that is read: some ten thousand users.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Tokens that are good at once: each is compared with each request's.
const TOKENS_MAX: usize = 1_000;

/// Why an authenticator cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AuthError {
    /// Line of the configuration.
    pub line: usize,
    /// One sentence.
    pub text: String,
}

/// How a password is kept.
#[derive(Clone, Debug)]
pub enum Password {
    /// As it is.
    Plain(Secret),
    /// Hashed by bcrypt.
    Bcrypt(Secret),
}

/// The tokens that are good, at least one.
///
/// # Errors
/// When their file cannot be read or holds none.
pub fn tokens(bearer: &Bearer) -> Result<Vec<Secret>, AuthError> {
    let Some(file) = &bearer.file else { return Ok(bearer.tokens.clone()) };
    let text = read(file)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let tokens: Vec<Secret> = lines.map(|line| Secret::new(line.to_owned())).collect();
    match tokens.len() {
        0 => Err(of_file(file, "it holds no token; write one a line")),
        1..=TOKENS_MAX => Ok(tokens),
        _ => Err(of_file(file, "it holds more than 1000 tokens; take those that are not used any more out")),
    }
}

/// The users that are let in, at least one.
///
/// # Errors
/// When their file cannot be read, or a line is none of a user.
pub fn users(basic: &Basic) -> Result<BTreeMap<String, Password>, AuthError> {
    let mut users = BTreeMap::new();
    if let Some(file) = &basic.file {
        let text = read(file)?;
        entries(&text, &mut users, false).map_err(|problem| of_file(file, &problem))?;
    }
    if let Some(inline) = &basic.inline {
        entries(inline.reveal(), &mut users, true)
            .map_err(|problem| AuthError { line: basic.line, text: format!("`htpasswd::inline`: {problem}") })?;
    }
    if users.is_empty() {
        return Err(AuthError {
            line: basic.line,
            text: "`htpasswd` holds no user; write `user:hash` lines".to_owned(),
        });
    }
    Ok(users)
}

fn entries(text: &str, users: &mut BTreeMap<String, Password>, may_be_plain: bool) -> Result<(), String> {
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((user, password)) =
            line.split_once(':').filter(|(user, password)| !user.is_empty() && !password.is_empty())
        else {
            return Err(format!("line {number} is no `user:hash`"));
        };
        let is_bcrypt = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| password.starts_with(prefix));
        let password = Secret::new(password.to_owned());
        let kept = if is_bcrypt {
            // A damaged hash would let nobody in, without a word.
            if bcrypt::verify("", password.reveal()).is_err() {
                return Err(format!("the hash of line {number} is damaged; make it anew by `htpasswd -B`"));
            }
            Password::Bcrypt(password)
        } else if !may_be_plain || password.reveal().starts_with(['$', '{']) {
            return Err(format!(
                "line {number} is hashed by something else than bcrypt; make it anew by `htpasswd -B`"
            ));
        } else {
            Password::Plain(password)
        };
        users.insert(user.to_owned(), kept);
    }
    Ok(())
}

/// The header that says who we are.
///
/// # Errors
/// Those of [`tokens`], and when there is nobody to be.
pub fn shown(authenticator: &Authenticator) -> Result<(HeaderName, HeaderValue), AuthError> {
    let (name, text, line) = match authenticator {
        Authenticator::Bearer(bearer) => {
            let token = tokens(bearer)?.into_iter().next().map(|token| token.reveal().to_owned()).unwrap_or_default();
            let text = if bearer.scheme.is_empty() { token } else { format!("{} {token}", bearer.scheme) };
            (bearer.header.clone(), text, bearer.line)
        }
        Authenticator::Basic(basic) => {
            let Some((user, password)) = &basic.client else {
                let text = "`client_auth` is missing; write `username` and `password`".to_owned();
                return Err(AuthError { line: basic.line, text });
            };
            let words = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
            (header::AUTHORIZATION, format!("Basic {words}"), basic.line)
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| AuthError { line, text: "the first token has control characters; write it anew".to_owned() })?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn read(file: &NamedFile) -> Result<String, AuthError> {
    let mut text = String::new();
    std::fs::File::open(&file.path)
        .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| of_file(file, &format!("{error}; check the path and who may read it")))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(of_file(file, "it is larger than 1 MiB; is it the right one?"));
    }
    Ok(text)
}

fn of_file(file: &NamedFile, problem: &str) -> AuthError {
    let text = format!("`{}`: cannot use {}: {problem}", file.place.key, file.path.display());
    AuthError { line: file.place.line, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(inline: &str) -> Basic {
        Basic { file: None, inline: Some(Secret::new(inline.to_owned())), client: None, line: 7 }
    }

    fn check(inline: &str, expected: &str) {
        let error = users(&basic(inline)).expect_err(inline);
        assert!(error.text.contains(expected), "{inline}: {error}");
        assert!(!error.text.contains("s3cret"), "{error}");
        assert_eq!(error.line, 7);
    }

    #[test]
    fn users_by_their_lines() {
        let hash = bcrypt::hash("s3cret", 4).expect("hashes");
        let found = users(&basic(&format!("# team\n\nana:{hash}\n bob:s3cret-b\n"))).expect("users");
        assert!(matches!(found.get("ana"), Some(Password::Bcrypt(_))));
        assert!(matches!(found.get("bob"), Some(Password::Plain(_))));
        assert!(!format!("{found:?}").contains("s3cret"));
        check("", "no user");
        check("ana", "line 1 is no `user:hash`");
        check("a:b\nana:$apr1$s3cret$x", "line 2 is hashed by something else");
        check("ana:{SHA}s3cret", "something else");
        check("ana:$2y$s3cret", "damaged");
    }
}
