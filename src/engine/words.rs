//! What a verdict says in words of the application server that is there. The causes speak of Gunicorn; where another one
//! answers, or nobody knows which, the same is said of that one. Values stay out, so that equal verdicts group.

use super::causes::Cause;
use std::borrow::Cow;

/// The application server that nginx asked, as far as anything tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Its log is in sight.
    Gunicorn,
    /// Its lines or nginx's protocol name it.
    Named(&'static str),
    /// Nothing does.
    #[default]
    Unknown,
}

impl Peer {
    /// As the subject of a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Gunicorn => "Gunicorn",
            Peer::Named(name) => name,
            Peer::Unknown => "the application server",
        }
    }

    /// By the scheme of nginx's `upstream:`; FastCGI is nearly always PHP's.
    pub fn of_scheme(scheme: &str) -> Option<Peer> {
        match scheme {
            "fastcgi" => Some(Peer::Named("PHP-FPM")),
            "uwsgi" | "suwsgi" => Some(Peer::Named("uWSGI")),
            "scgi" => Some(Peer::Named("the SCGI server")),
            "grpc" | "grpcs" => Some(Peer::Named("the gRPC server")),
            _ => None,
        }
    }

    /// What happened, half a sentence.
    pub fn summary(self, cause: &Cause) -> Cow<'static, str> {
        match &cause.elsewhere {
            Some(words) if self != Peer::Gunicorn => Cow::Owned(words.summary.replace("{}", self.name())),
            _ => Cow::Borrowed(cause.summary),
        }
    }

    /// What to do.
    pub fn hint(self, cause: &Cause) -> &'static str {
        match &cause.elsewhere {
            Some(words) if self != Peer::Gunicorn => words.hint,
            _ => cause.hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::causes;

    #[test]
    fn another_server_is_not_called_gunicorn() {
        for cause in causes::all() {
            let own = cause.summary.contains("unicorn");
            let other = Peer::Named("uWSGI").summary(cause);
            let only_gunicorns = matches!(
                cause.id,
                "app_load_failed"
                    | "bind_failed"
                    | "arbiter_crashed"
                    | "gunicorn_files_exhausted"
                    | "reuse_port_recycled"
            );
            assert!(only_gunicorns || !other.contains("unicorn"), "{}: {other}", cause.id);
            assert!(!other.contains("{}"), "{}: {other}", cause.id);
            assert_eq!(Peer::Gunicorn.summary(cause), cause.summary);
            assert!(
                cause.elsewhere.is_none_or(|words| words.hint.ends_with('.') && !words.hint.contains("{}")),
                "{}",
                cause.id
            );
            assert!(!own || only_gunicorns || other.contains("uWSGI"), "{}: {other}", cause.id);
        }
    }
}
