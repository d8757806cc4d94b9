//! What the receiver and the exporter of Kafka share: how brokers are reached, and what their errors mean. The protocol is
//! spoken by `krafka`; docs/kafka.md says why.

use crate::config::kafka::{Client, Mechanism};
use krafka::auth::{AuthConfig, TlsConfig};
use krafka::error::{ErrorCode, KrafkaError};
use krafka::{Kafka, KafkaBuilder};
use std::error::Error;
use std::time::Duration;

/// A connection is there within this time, or the next broker is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What an error means for what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It may pass by itself, or when somebody mends the cluster.
    Passing,
    /// Somebody has to change the configuration or rights; it is tried again meanwhile.
    Refused,
    /// The message is too large as it is.
    TooLarge,
}

/// A connection to a cluster, where each request may take so long.
///
/// # Errors
/// When no broker answers, or all refuse us; [`sentence`] says what to do.
pub async fn connect(client: &Client, timeout: Duration, creates_topics: bool) -> Result<Kafka, KrafkaError> {
    builder(client, timeout).allow_auto_create_topics(creates_topics).connect().await
}

fn builder(client: &Client, timeout: Duration) -> KafkaBuilder {
    let mut builder = Kafka::builder(client.brokers.join(","))
        .client_id(client.client_id.clone())
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .request_timeout(timeout);
    let mut security = match &client.sasl {
        None => AuthConfig::plaintext(),
        Some(sasl) => {
            let (user, password) = (sasl.username.as_str(), sasl.password.reveal());
            match sasl.mechanism {
                Mechanism::Plain => AuthConfig::sasl_plain(user, password),
                Mechanism::ScramSha256 => AuthConfig::sasl_scram_sha256(user, password),
                Mechanism::ScramSha512 => AuthConfig::sasl_scram_sha512(user, password),
            }
        }
    };
    if let Some(settings) = &client.tls {
        let mut tls = if settings.insecure_skip_verify { TlsConfig::insecure() } else { TlsConfig::new() };
        tls = match &settings.ca_file {
            Some(file) => tls.with_ca_cert(file.path.to_string_lossy()),
            None => tls.with_native_roots(),
        };
        if let Some(identity) = &settings.identity {
            tls = tls
                .with_client_cert(identity.cert_file.path.to_string_lossy(), identity.key_file.path.to_string_lossy());
        }
        if let Some(name) = &settings.server_name {
            tls = tls.with_sni_hostname(name.clone());
        }
        security = security.with_tls(tls);
        builder = builder.tls_reload_interval(settings.reload_interval);
    }
    builder = builder.security(security);
    builder
}

/// What an error means.
pub fn meaning(error: &KrafkaError) -> Meaning {
    match error {
        KrafkaError::Broker { code: ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge, .. } => {
            Meaning::TooLarge
        }
        KrafkaError::Auth { .. } | KrafkaError::UnknownTopic { .. } | KrafkaError::Config { .. } => Meaning::Refused,
        KrafkaError::Broker {
            code:
                ErrorCode::SaslAuthenticationFailed
                | ErrorCode::UnsupportedSaslMechanism
                | ErrorCode::TopicAuthorizationFailed
                | ErrorCode::GroupAuthorizationFailed
                | ErrorCode::ClusterAuthorizationFailed
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::InvalidTopic
                | ErrorCode::UnsupportedVersion,
            ..
        } => Meaning::Refused,
        _ => Meaning::Passing,
    }
}

/// What happened and what to check, in one sentence. `about` names the topics or the group.
pub fn sentence(client: &Client, about: &str, error: &KrafkaError) -> String {
    let brokers = client.brokers.join(", ");
    let key = &client.place.key;
    let section = key.trim_end_matches("::brokers");
    let user = client.sasl.as_ref().map_or_else(String::new, |sasl| format!(" of user `{}`", sasl.username));
    let code = match error {
        KrafkaError::Broker { code, .. } => Some(*code),
        _ => None,
    };
    if is_of_handshake(error) {
        return format!(
            "cannot reach {brokers}: {}; check {section}::tls::ca_file, which is to know who signed the certificate of the brokers, the names in it, and cert_file and key_file",
            words(error)
        );
    }
    let is_refused = matches!(error, KrafkaError::Auth { .. })
        || matches!(code, Some(ErrorCode::SaslAuthenticationFailed | ErrorCode::UnsupportedSaslMechanism));
    if is_refused {
        return match &client.sasl {
            Some(_) => format!(
                "{brokers} refuses the password{user}: {}; check mechanism, username and password in {section}::auth::sasl",
                words(error)
            ),
            None => {
                format!("{brokers} lets nobody in without a password: {}; write {section}::auth::sasl", words(error))
            }
        };
    }
    match code {
        Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::InvalidTopic) => return missing(&brokers, about),
        Some(
            ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed,
        ) => {
            return format!("{brokers} denies {about} to the client{user}: {}; add an ACL for it", words(error));
        }
        Some(ErrorCode::UnsupportedVersion) => {
            return format!(
                "{brokers} does not speak what {about} needs: {}; for a broker before 4.0 write `group_protocol: classic`",
                words(error)
            );
        }
        _ => {}
    }
    match error {
        KrafkaError::UnknownTopic { topic } => missing(&brokers, &format!("topic `{topic}`")),
        KrafkaError::Network(_) | KrafkaError::Timeout { .. } => format!(
            "cannot reach {brokers}: {}; check {key}, TLS on both sides, and that the names that brokers advertise resolve here",
            words(error)
        ),
        KrafkaError::Protocol { .. } => format!(
            "{brokers} does not answer as Kafka does: {}; check {key} and whether that port wants TLS or SASL",
            words(error)
        ),
        _ => format!("{brokers}, {about}: {}", words(error)),
    }
}

/// A certificate that one side refused. That we refused one the library calls what a wrong password is, but only this came
/// off the network; that the broker refused ours, or wants one, it says by an alert.
fn is_of_handshake(error: &KrafkaError) -> bool {
    match error {
        KrafkaError::Auth { source, .. } => {
            let mut cause = source.as_ref().map(|source| source as &dyn Error);
            while let Some(error) = cause {
                if error.is::<std::io::Error>() {
                    return true;
                }
                cause = error.source();
            }
            false
        }
        KrafkaError::Network(error) => error.to_string().contains("received fatal alert"),
        _ => false,
    }
}

fn missing(brokers: &str, about: &str) -> String {
    format!(
        "{about} does not exist on {brokers}; make it with as many partitions as the topic of the other signal, or check the name"
    )
}

/// The words of the library, on one line and not too many.
fn words(error: &KrafkaError) -> String {
    let text = match error {
        KrafkaError::Network(source) => source.to_string(),
        KrafkaError::Auth { message, .. } | KrafkaError::Protocol { message, .. } => message.clone(),
        KrafkaError::Timeout { operation } => format!("no answer in time ({operation})"),
        KrafkaError::Broker { code, message } if message.is_empty() => format!("{code:?}"),
        KrafkaError::Broker { message, .. } => message.clone(),
        other => other.to_string(),
    };
    crate::read::text::printable(&text).chars().take(300).collect()
}
