//! What one line is read as, for people who ask why theirs is not recognised (`why502 parse`).

use super::json_line::JsonLine;
use super::{Format, LogFormat, Reader, Reading, access_formats, nginx_access, nginx_error};
use crate::read::evidence::{
    Attempt, Evidence, Gunicorn, GunicornAccess, GunicornEvent, Host, Logged, Nanos, ServerEvent,
};
use crate::read::evidence::{NginxAccess, NginxError, Proof, SECOND};
use crate::read::peel::peel;
use crate::read::time::rfc3339;
use crate::read::{SourceMemory, Wanted};
use std::borrow::Cow;

/// What one line is read as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// What was peeled off, outermost first.
    pub envelopes: Vec<&'static str>,
    /// [`Format::id`]; `None` when the line is in no format that we know.
    pub format: Option<&'static str>,
    /// Names of nginx variables where nginx has one; `None` where the line has `-` or nothing.
    pub fields: Vec<(String, Option<String>)>,
    /// What it proves, in a few words; `None` for a healthy line.
    pub evidence: Option<String>,
}

impl Description {
    /// Describes a line by one format, bare or in its envelope. The fields are that format's variables; none when the
    /// line does not match.
    pub fn by_format(format: &LogFormat, line: &[u8]) -> Description {
        let text = String::from_utf8_lossy(line);
        let peeled = peel(&text);
        let bare = peeled.bare.as_bytes();
        let in_envelope = bare != line && !peeled.layers.is_empty();
        let (fields, envelopes) = match format.read_strictly(line) {
            Some(fields) => (fields, Vec::new()),
            None => match in_envelope.then(|| format.read_strictly(bare)).flatten() {
                Some(fields) => (fields, peeled.layers.clone()),
                None => match format.read(line) {
                    Some(fields) => (fields, Vec::new()),
                    None => match in_envelope.then(|| format.read(bare)).flatten() {
                        Some(fields) => (fields, peeled.layers.clone()),
                        None => return Description::default(),
                    },
                },
            },
        };
        let evidence = access_formats::nginx_line(&fields)
            .filter(|read| nginx_access::is_interesting(read.access.status))
            .map(|read| format!("status {:03}", read.access.status));
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.map(Cow::into_owned))).collect();
        Description { envelopes, format: Some("log_format"), fields, evidence }
    }
}

impl Reader {
    /// Describes one line on its own, without what lines before it said.
    pub fn describe(&self, line: &[u8]) -> Description {
        self.describe_next(line, &mut false)
    }

    /// Describes one line on its own but for the traceback that it may stand in: `in_traceback` says so of the line before
    /// it, and then of this one.
    pub fn describe_next(&self, line: &[u8], in_traceback: &mut bool) -> Description {
        let text = String::from_utf8_lossy(line);
        let peeled = peel(text.trim_end_matches(['\n', '\r']));
        let mut description = Description { envelopes: peeled.layers.clone(), ..Description::default() };
        let mut memory = SourceMemory { in_traceback: *in_traceback, ..SourceMemory::default() };
        let reading = self.read(line, &mut memory, &Wanted::default());
        *in_traceback = memory.in_traceback;
        match reading {
            Reading::Unrecognised => {}
            Reading::Healthy(format) => {
                description.format = Some(format.id());
                fields_of_healthy(format, &peeled.bare, &mut description.fields);
            }
            Reading::Proves(format, evidences) => {
                description.format = Some(format.id());
                if let Some(evidence) = evidences.first() {
                    fields_of(evidence, &mut description.fields);
                    description.evidence = Some(words_of(&evidence.proof));
                }
            }
        }
        if let Some(fields) = self.access_fields(description.format, &peeled.bare) {
            description.fields = fields;
        }
        description
    }

    /// The fields of an access line as they stand in it; `None` for any other line.
    fn access_fields(&self, format: Option<&str>, bare: &str) -> Option<Fields> {
        if format == Some(Format::NginxAccessJson.id()) {
            let mut fields = Fields::new();
            for (name, value) in JsonLine::read(bare)?.members() {
                put(&mut fields, name, if value == "null" { "" } else { &value });
            }
            return Some(fields);
        }
        if ![Format::NginxAccess.id(), Format::GunicornAccess.id()].contains(&format?) {
            return None;
        }
        self.formats.fields(bare).or_else(|| nginx_access::named_fields(bare))
    }
}

fn fields_of_healthy(format: Format, bare: &str, fields: &mut Fields) {
    let access = match format {
        Format::NginxError => {
            if let Some(read) = nginx_error::read(bare) {
                fields_of_error(&read.error, fields);
            }
            None
        }
        Format::NginxAccessJson => JsonLine::read(bare).and_then(|json| nginx_access::read_json(&json)),
        Format::NginxAccess | Format::GunicornAccess => nginx_access::read_combined(bare),
        Format::Gunicorn | Format::Exception | Format::Host => None,
    };
    if let Some(read) = access {
        fields_of_access(&read.access, fields);
    }
}

type Fields = Vec<(String, Option<String>)>;

fn put(fields: &mut Fields, name: &str, value: &str) {
    let value = (!value.is_empty() && value != "-").then(|| value.to_owned());
    fields.push((name.to_owned(), value));
}

fn put_number<T: ToString>(fields: &mut Fields, name: &str, value: Option<T>) {
    if let Some(value) = value {
        fields.push((name.to_owned(), Some(value.to_string())));
    }
}

fn fields_of(evidence: &Evidence, fields: &mut Fields) {
    if let Some(stamp) = evidence.stamp {
        let text = rfc3339(stamp.nanos);
        match (stamp.year_known, stamp.zone_known) {
            (true, true) => put(fields, "time", &text),
            (true, false) => put(fields, "time_local_without_zone", &text),
            (false, _) => put(fields, "time_local_without_year", text.get(5..).unwrap_or_default()),
        }
    }
    match &evidence.proof {
        Proof::NginxError(error) => fields_of_error(error, fields),
        Proof::NginxAccess(access) => fields_of_access(access, fields),
        Proof::Gunicorn(gunicorn) => fields_of_gunicorn(gunicorn, fields),
        Proof::GunicornAccess(access) => fields_of_gunicorn_access(access, fields),
        Proof::Exception { class, message, frame } => {
            put(fields, "exception", class);
            put(fields, "message", message);
            if let Some(frame) = frame {
                put(fields, "frame", frame);
            }
        }
        Proof::Host(_) => put(fields, "message", &evidence.text),
    }
    if let Some(origin) = &evidence.origin {
        put(fields, "origin", &origin.name);
    }
}

/// The fields of an error line by the names that the line gives them.
fn fields_of_error(error: &NginxError, fields: &mut Fields) {
    put(fields, "level", error.level);
    put_number(fields, "pid", error.pid);
    put_number(fields, "connection", error.connection);
    put(fields, "message", &error.message);
    put_number(fields, "errno", error.code);
    let named = [
        ("while", Some(&error.action)),
        ("client", Some(&error.client)),
        ("server", Some(&error.server)),
        ("request", error.request.as_ref()),
        ("subrequest", error.subrequest.as_ref()),
        ("upstream", error.upstream.as_ref()),
        ("host", error.host.as_ref()),
    ];
    for (name, value) in named {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            put(fields, name, value);
        }
    }
}

fn fields_of_access(access: &NginxAccess, fields: &mut Fields) {
    fields.push(("status".to_owned(), Some(format!("{:03}", access.status))));
    put(fields, "request_method", &access.method);
    put(fields, "request_uri", &access.target);
    put(fields, "server_protocol", &access.protocol);
    put(fields, "remote_addr", &access.client);
    put(fields, "host", &access.host);
    put_number(fields, "pid", access.pid);
    put_number(fields, "connection", access.connection);
    put_number(fields, "connection_requests", access.connection_requests);
    if !access.request_id.is_empty() {
        put(fields, "request_id", &access.request_id);
    }
    put_logged(fields, "request_time", access.request_time, seconds);
    put_logged(fields, "body_bytes_sent", access.body_bytes_sent, |bytes| bytes.to_string());
    put_logged(fields, "request_length", access.request_length, |bytes| bytes.to_string());
    if access.has_upstream {
        fields_of_attempts(&access.attempts, fields);
    }
}

/// One of the times of an attempt.
type TimeOf = fn(&Attempt) -> Logged<Nanos>;

/// The lists of `$upstream_*`, commas between the attempts as nginx writes them.
fn fields_of_attempts(attempts: &[Attempt], fields: &mut Fields) {
    let list = |one: &dyn Fn(&Attempt) -> Option<String>| -> Option<String> {
        let values: Vec<Option<String>> = attempts.iter().map(one).collect();
        values.iter().any(Option::is_some).then(|| {
            values.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(", ")
        })
    };
    let address = list(&|attempt| (!attempt.address.is_empty()).then(|| attempt.address.to_string()));
    fields.push(("upstream_addr".to_owned(), address));
    let times: [(&str, TimeOf); 3] = [
        ("upstream_connect_time", |attempt| attempt.connect_time),
        ("upstream_header_time", |attempt| attempt.header_time),
        ("upstream_response_time", |attempt| attempt.response_time),
    ];
    if attempts.iter().any(|attempt| attempt.status.is_logged()) {
        let status = list(&|attempt| attempt.status.value().map(|status| status.to_string()));
        fields.push(("upstream_status".to_owned(), status));
    }
    for (name, time) in times {
        if attempts.iter().any(|attempt| time(attempt).is_logged()) {
            fields.push((name.to_owned(), list(&|attempt| time(attempt).value().map(seconds))));
        }
    }
}

fn put_logged<T: Copy>(fields: &mut Fields, name: &str, value: Logged<T>, show: impl Fn(T) -> String) {
    if value.is_logged() {
        fields.push((name.to_owned(), value.value().map(show)));
    }
}

/// As nginx prints times: seconds with milliseconds.
fn seconds(nanos: Nanos) -> String {
    format!("{}.{:03}", nanos / SECOND, nanos.rem_euclid(SECOND) / 1_000_000)
}

fn fields_of_gunicorn(gunicorn: &Gunicorn, fields: &mut Fields) {
    put_number(fields, "pid", gunicorn.pid);
    if !gunicorn.level.is_empty() {
        put(fields, "level", &gunicorn.level);
    }
    put(fields, "event", &event_words(&gunicorn.event));
}

fn fields_of_gunicorn_access(access: &GunicornAccess, fields: &mut Fields) {
    fields.push(("status".to_owned(), Some(access.status.to_string())));
    put(fields, "request_method", &access.method);
    put(fields, "request_uri", &access.target);
    put(fields, "remote_addr", &access.client);
    put_number(fields, "pid", access.worker);
    put_number(fields, "request_time", access.duration.map(seconds));
    if !access.request_id.is_empty() {
        put(fields, "request_id", &access.request_id);
    }
}

/// What a proof says, in a few words.
fn words_of(proof: &Proof) -> String {
    match proof {
        Proof::NginxError(error) => error.symptom.map_or(error.message.as_str(), |symptom| symptom.id()).to_owned(),
        Proof::NginxAccess(access) => format!("status {:03}", access.status),
        Proof::GunicornAccess(access) => format!("status {}", access.status),
        Proof::Gunicorn(gunicorn) => event_words(&gunicorn.event),
        Proof::Exception { class, .. } => format!("exception {class}"),
        Proof::Host(host) => host_words(host),
    }
}

fn event_words(event: &GunicornEvent) -> String {
    use GunicornEvent as E;
    match event {
        E::Starting { version } => format!("gunicorn {version} starts"),
        E::Listening { addresses } => format!("listens at {}", addresses.join(", ")),
        E::UsingWorker { class } => format!("uses {class} workers"),
        E::Booting { worker } => format!("worker {worker} boots"),
        E::WorkerTimeout { worker } => format!("worker {worker} timed out"),
        E::WorkerExiting { worker } => format!("worker {worker} exits"),
        E::WorkerSignalled { worker, signal } => format!("worker {worker} got signal {signal}"),
        E::WorkerExited { worker, code } => format!("worker {worker} exited with code {code}"),
        E::GracefulTimeout { worker } => format!("worker {worker} did not stop in time"),
        E::HandlingSignal { name } => format!("the master got signal {name}"),
        E::HangUp => "reload".to_owned(),
        E::ShuttingDown => "the master shuts down".to_owned(),
        E::BootFailed => "workers fail to boot".to_owned(),
        E::AppLoadFailed { .. } => "the application cannot be loaded".to_owned(),
        E::ExceptionInWorker => "a worker fails to boot".to_owned(),
        E::PreloadFailed => "the master fails to import the application".to_owned(),
        E::ErrorHandlingRequest { .. } => "exception while handling a request".to_owned(),
        E::SocketError => "socket error".to_owned(),
        E::PlainRequestToTlsPort => "plain request to the TLS port".to_owned(),
        E::InvalidRequest { .. } => "invalid request".to_owned(),
        E::Autorestarting => "a worker is recycled".to_owned(),
        E::Aborted => "a worker was aborted".to_owned(),
        E::ParentChanged => "a worker lost its master".to_owned(),
        E::BindFailed { .. } | E::BindRetry => "cannot bind".to_owned(),
        E::ArbiterCrashed => "the master crashed".to_owned(),
        E::ChildrenIgnored => "dead workers are not replaced".to_owned(),
        E::StartupFailed => "the application failed to start".to_owned(),
        E::DirtyTrouble => "trouble of the dirty workers".to_owned(),
        E::ClientGone => "the client went away".to_owned(),
        E::Other => "nothing of interest".to_owned(),
    }
}

fn server_words(name: &str, event: ServerEvent) -> String {
    match event {
        ServerEvent::TimedOut => format!("{name} ends a worker that took too long"),
        ServerEvent::Signalled(signal) => format!("a worker of {name} was killed by signal {signal}"),
        ServerEvent::Exited(code) => format!("{name}: exited with code {code}"),
        ServerEvent::Died => format!("a worker of {name} died"),
        ServerEvent::FailedToBoot => format!("{name} failed to boot"),
        ServerEvent::CutAtStop => format!("{name} cuts what was not done at its stop"),
        ServerEvent::QueueFull => format!("the queue of {name} is full"),
        ServerEvent::AllBusy => format!("all workers of {name} are busy"),
    }
}

fn host_words(host: &Host) -> String {
    match host {
        Host::OomKill { process, .. } => format!("the kernel killed {process} for want of memory"),
        Host::Segfault { process, .. } => format!("{process} crashed"),
        Host::AccessDenied { permission, .. } => format!("a security module denied {permission}"),
        Host::ContainerOomKilled { .. } => "a container was killed for want of memory".to_owned(),
        Host::ContainerKilled { reason, .. } => format!("a container was killed: {reason}"),
        Host::UnitProcessExited { unit, code, status } => format!("{unit}: process {code} {status}"),
        Host::UnitOomKilled { unit } => format!("{unit}: killed for want of memory"),
        Host::UnitFailed { unit, result } => format!("{unit} failed: {result}"),
        Host::UnitStopping { unit } => format!("{unit} stops"),
        Host::UnitStarted { unit } => format!("{unit} starts"),
        Host::PeerGone { program } => format!("the peer of {program} went away"),
        Host::Server { server, event, .. } => server_words(server.name(), *event),
        Host::SupervisorExited { program, detail } => format!("{program} exited: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, envelopes: &[&str], format: Option<&str>, evidence: Option<&str>) -> Fields {
        let description = Reader::default().describe(line.as_bytes());
        assert_eq!(description.envelopes, envelopes, "{line}");
        assert_eq!(description.format, format, "{line}");
        assert_eq!(description.evidence.as_deref(), evidence, "{line}");
        description.fields
    }

    #[test]
    fn lines_are_described() {
        let error = "2026/10/02 11:22:33 [error] 7#7: *9 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.4, server: mail.test, request: \"GET /in HTTP/1.1\", upstream: \"http://10.9.8.7:8000/in\", host: \"mail.test\"";
        let fields = check(error, &[], Some("nginx_error"), Some("connect_refused"));
        assert!(fields.contains(&("upstream".to_owned(), Some("10.9.8.7:8000".to_owned()))), "{fields:?}");
        let fields = check(
            "web-1  | 198.51.100.4 - - [02/Oct/2026:11:22:33 +0000] \"GET /in HTTP/1.1\" 200 12 \"-\" \"curl/8\"",
            &["compose"],
            Some("nginx_access"),
            None,
        );
        assert!(fields.contains(&("status".to_owned(), Some("200".to_owned()))), "{fields:?}");
        check("nothing of ours", &[], None, None);
        let fields = check(
            r#"{"status":502,"request":"GET /in HTTP/1.1","upstream_addr":"-"}"#,
            &[],
            Some("nginx_access_json"),
            Some("status 502"),
        );
        assert!(fields.contains(&("upstream_addr".to_owned(), None)), "{fields:?}");
        check("", &[], None, None);
    }

    #[test]
    fn by_one_format() {
        let format = LogFormat::compile("$remote_addr \"$request\" $status $upstream_addr").expect("compiles");
        let found = Description::by_format(&format, b"web-1  | 198.51.100.4 \"GET /in HTTP/1.1\" 502 -");
        assert_eq!(found.envelopes, ["compose"]);
        assert_eq!(found.evidence.as_deref(), Some("status 502"));
        let fields: Vec<_> = found.fields.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let expected = [
            ("remote_addr", Some("198.51.100.4")),
            ("request", Some("GET /in HTTP/1.1")),
            ("status", Some("502")),
            ("upstream_addr", None),
        ];
        assert_eq!(fields, expected);
        assert_eq!(Description::by_format(&format, b"no such line"), Description::default());
    }
}
