//! Who is let in: asked before anything of a request is read, and answered in the same time however much of a secret was
//! right.

use super::{Consumer, Refusal, grpc, http as otlp_http};
use crate::auth::{self, AuthError, Password};
use crate::config::settings::Authenticator;
use crate::config::values::Secret;
use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::Semaphore;

/// Good credentials that are known without hashing again. bcrypt takes tens of milliseconds by design, and senders say
/// the same each time.
const KNOWN_MAX: usize = 1_024;
/// Passwords that are hashed at once: whoever tries some keeps one core busy, and nobody who is known waits for it.
const HASHED_AT_ONCE: usize = 1;
/// Requests that wait for that, some seconds of it; more are asked to come back, so that nobody fills the memory with them.
const WAITING_MAX: usize = 64;
/// When these shall come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Longest value that is looked at.
const VALUE_BYTES_MAX: usize = 4 << 10;
/// kubelet asks here without a token, and learns nothing but whether it serves.
const OPEN_PATH: &str = "/grpc.health.v1.Health/";

/// What the page says meanwhile.
const BUSY: &str = "Too many say who they are at once; ask again in a second.\n";

/// Which protocol answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A status in the headers.
    Grpc,
    /// 401 with a body.
    Http,
}

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Something that is good here.
    Good,
    /// Nothing, or nothing that is.
    Nothing,
    /// Something that cannot be looked at now.
    Untold,
}

/// Asks each request for what it must show. What is good may be exchanged while requests come in.
#[derive(Clone)]
pub struct Guard(Arc<RwLock<Arc<Asked>>>);

enum Asked {
    Bearer { header: HeaderName, scheme: String, tokens: Vec<Secret> },
    Basic { users: BTreeMap<String, Password>, known: Mutex<VecDeque<Secret>>, hashing: Semaphore, waiting: Semaphore },
}

impl Guard {
    /// Reads the files of an authenticator.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn of(authenticator: &Authenticator) -> Result<Guard, AuthError> {
        Ok(Guard(Arc::new(RwLock::new(Arc::new(Asked::of(authenticator)?)))))
    }

    /// Reads them anew.
    ///
    /// # Errors
    /// When one cannot be used; then the old ones stay.
    pub fn change(&self, authenticator: &Authenticator) -> Result<(), AuthError> {
        let asked = Arc::new(Asked::of(authenticator)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = asked;
        Ok(())
    }

    /// Puts itself before every route.
    pub fn before<C: Consumer>(self, router: Router, consumer: C, protocol: Protocol) -> Router {
        let ask = move |request: Request, next: Next| {
            let (guard, consumer) = (self.clone(), consumer.clone());
            async move { guard.ask(request, next, consumer, protocol).await }
        };
        router.layer(axum::middleware::from_fn(ask))
    }

    /// Puts itself before the page for people, which answers in words.
    pub fn before_page(self, router: Router) -> Router {
        let ask = move |request: Request, next: Next| {
            let guard = self.clone();
            async move {
                let asked = Arc::clone(&guard.0.read().unwrap_or_else(PoisonError::into_inner));
                match asked.shown(request.headers()).await {
                    Shown::Good => return next.run(request).await,
                    Shown::Untold => return (StatusCode::SERVICE_UNAVAILABLE, BUSY).into_response(),
                    Shown::Nothing => {}
                }
                let words = "This page asks who you are: `web::auth` of its configuration says how.\n";
                let mut response = (StatusCode::UNAUTHORIZED, words).into_response();
                response.headers_mut().insert(header::WWW_AUTHENTICATE, asked.challenge());
                response
            }
        };
        router.layer(axum::middleware::from_fn(ask))
    }

    async fn ask<C: Consumer>(&self, request: Request, next: Next, consumer: C, protocol: Protocol) -> Response {
        if protocol == Protocol::Grpc && request.uri().path().starts_with(OPEN_PATH) {
            return next.run(request).await;
        }
        let asked = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let refusal = match asked.shown(request.headers()).await {
            Shown::Good => return next.run(request).await,
            Shown::Nothing => Refusal::Unauthenticated(asked.place().as_str().to_owned()),
            Shown::Untold => Refusal::Overloaded { retry_after: RETRY_AFTER },
        };
        consumer.refused(&refusal);
        let mut response = match protocol {
            Protocol::Grpc => grpc::denied(&request, &refusal),
            Protocol::Http => otlp_http::denied(&request, &refusal),
        };
        if matches!(refusal, Refusal::Unauthenticated(_)) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, asked.challenge());
        }
        response
    }
}

impl Shown {
    fn of(is_good: bool) -> Shown {
        if is_good { Shown::Good } else { Shown::Nothing }
    }
}

impl Asked {
    fn of(authenticator: &Authenticator) -> Result<Asked, AuthError> {
        Ok(match authenticator {
            Authenticator::Bearer(bearer) => Asked::Bearer {
                header: bearer.header.clone(),
                scheme: bearer.scheme.clone(),
                tokens: auth::tokens(bearer)?,
            },
            Authenticator::Basic(basic) => Asked::Basic {
                users: auth::users(basic)?,
                known: Mutex::default(),
                hashing: Semaphore::new(HASHED_AT_ONCE),
                waiting: Semaphore::new(WAITING_MAX),
            },
        })
    }

    /// The header that is asked for.
    fn place(&self) -> &HeaderName {
        match self {
            Asked::Bearer { header, .. } => header,
            Asked::Basic { .. } => &header::AUTHORIZATION,
        }
    }

    fn challenge(&self) -> HeaderValue {
        let words = match self {
            Asked::Bearer { scheme, .. } if !scheme.is_empty() => format!("{scheme} realm=\"why502\""),
            Asked::Bearer { .. } => "Bearer realm=\"why502\"".to_owned(),
            Asked::Basic { .. } => "Basic realm=\"why502\", charset=\"UTF-8\"".to_owned(),
        };
        HeaderValue::try_from(words).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }

    async fn shown(&self, headers: &HeaderMap) -> Shown {
        // Several of one name could be read differently by a proxy before us.
        let mut values = headers.get_all(self.place()).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Shown::Nothing };
        let value = value.as_bytes();
        if value.len() > VALUE_BYTES_MAX {
            return Shown::Nothing;
        }
        match self {
            Asked::Bearer { scheme, tokens, .. } => {
                Shown::of(behind(value, scheme).is_some_and(|token| is_one_of(token, tokens)))
            }
            Asked::Basic { users, known, hashing, waiting } => {
                let Some(shown) = behind(value, "Basic") else { return Shown::Nothing };
                if is_known(shown, known) {
                    return Shown::Good;
                }
                let Some((user, password)) = decoded(shown) else { return Shown::Nothing };
                // Somebody who is not there costs as much as somebody who is: names cannot be found out by the time.
                let somebody = || users.values().find(|kept| matches!(kept, Password::Bcrypt(_)));
                let hash = match users.get(&user).or_else(somebody) {
                    None => return Shown::Nothing,
                    Some(Password::Plain(plain)) => return Shown::of(is_one_of(password.as_bytes(), [plain])),
                    Some(Password::Bcrypt(hash)) => hash.clone(),
                };
                let Ok(_place) = waiting.try_acquire() else { return Shown::Untold };
                let Ok(_turn) = hashing.acquire().await else { return Shown::Untold };
                // A sender that has just started says it several times at once.
                if is_known(shown, known) {
                    return Shown::Good;
                }
                let is_right = is_hashed(password, hash).await && users.contains_key(&user);
                if is_right {
                    keep(shown, known);
                }
                Shown::of(is_right)
            }
        }
    }
}

/// What stands behind a scheme, whose case does not matter (RFC 9110, 11.1).
fn behind<'v>(value: &'v [u8], scheme: &str) -> Option<&'v [u8]> {
    if scheme.is_empty() {
        return Some(value);
    }
    let (first, rest) = value.split_at_checked(scheme.len())?;
    let token = rest.strip_prefix(b" ")?.trim_ascii();
    first.eq_ignore_ascii_case(scheme.as_bytes()).then_some(token)
}

/// Compares with each of them whole, so that the time tells nothing but their lengths.
fn is_one_of<'s>(shown: &[u8], secrets: impl IntoIterator<Item = &'s Secret>) -> bool {
    let mut found = Choice::from(0);
    for secret in secrets {
        found |= secret.reveal().as_bytes().ct_eq(shown);
    }
    found.into()
}

fn is_known(shown: &[u8], known: &Mutex<VecDeque<Secret>>) -> bool {
    is_one_of(shown, known.lock().unwrap_or_else(PoisonError::into_inner).iter())
}

/// Keeps what is good; the oldest gives its place.
fn keep(shown: &[u8], known: &Mutex<VecDeque<Secret>>) {
    let Ok(text) = std::str::from_utf8(shown) else { return };
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KNOWN_MAX {
        known.pop_front();
    }
    known.push_back(Secret::new(text.to_owned()));
}

/// User and password.
fn decoded(shown: &[u8]) -> Option<(String, String)> {
    let words = String::from_utf8(BASE64_STANDARD.decode(shown).ok()?).ok()?;
    words.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// True when a password is that of a hash.
async fn is_hashed(password: String, hash: Secret) -> bool {
    let hashed = tokio::task::spawn_blocking(move || bcrypt::verify(password, hash.reveal()).unwrap_or(false));
    hashed.await.unwrap_or(false)
}
