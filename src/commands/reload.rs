//! SIGHUP: the configuration and the certificates are read anew. What can be taken over without dropping a connection is,
//! what cannot is named, and where something is wrong the old one stays as it is.

use super::{say, validate};
use crate::config::changes::changes;
use crate::config::settings::{Authenticator, Config, Exporter, Identity, Listener, NamedFile};
use crate::exporter;
use crate::receiver::auth::Guard;
use crate::receiver::serve::{Bound, Certificates};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often files of tokens and passwords are looked at.
const SECRETS_INTERVAL: Duration = Duration::from_secs(60);
/// Stands for the page where others have the name of their receiver, which begins with `otlp`.
const PAGE: &str = "web";
/// As much of a file as any reader of certificates and tokens takes.
const CONTENT_BYTES_MAX: u64 = 4 << 20;

/// What runs by a file, and may go on by another state of it.
pub(super) struct Running {
    path: PathBuf,
    /// The file as it was taken over last.
    text: String,
    /// Those of listeners: receiver, whether it is gRPC, what greets connections.
    certificates: Vec<(String, bool, Certificates)>,
    /// Those of listeners: receiver, whether it is gRPC, who asks senders who they are.
    guards: Vec<(String, bool, Guard)>,
    /// What the files said that are named by `config`, each as a number.
    seen: BTreeMap<PathBuf, u64>,
    /// As it was taken over last.
    config: Config,
    exporters: Vec<Arc<exporter::Exporter>>,
}

impl Running {
    /// What was started; `None` without a file.
    pub(super) fn new(
        file: Option<&Path>,
        config: &Config,
        sockets: &[(usize, bool, Listener, Bound)],
        guards: &[Option<Guard>],
        exporters: &[Arc<exporter::Exporter>],
    ) -> Option<Running> {
        let path = file?.to_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let named = |(receiver, is_grpc, _, _): &(usize, bool, Listener, Bound)| {
            config.receivers.get(*receiver).map(|receiver| (receiver.name.clone(), *is_grpc))
        };
        let certificates = sockets
            .iter()
            .filter_map(|socket| named(socket).zip(socket.3.certificates()))
            .map(|((name, is_grpc), certificates)| (name, is_grpc, certificates))
            .collect();
        let guards = sockets
            .iter()
            .zip(guards)
            .filter_map(|(socket, guard)| named(socket).zip(guard.clone()))
            .map(|((name, is_grpc), guard)| (name, is_grpc, guard))
            .collect();
        let exporters = exporters.to_vec();
        let seen = contents(config);
        Some(Running { path, text, certificates, guards, seen, config: config.clone(), exporters })
    }

    /// The page as well.
    pub(super) fn add_page(&mut self, bound: &Bound, guard: Option<&Guard>) {
        self.certificates.extend(bound.certificates().map(|certificates| (PAGE.to_owned(), false, certificates)));
        self.guards.extend(guard.map(|guard| (PAGE.to_owned(), false, guard.clone())));
    }

    /// Reads everything anew.
    pub(super) fn reload(&mut self) {
        // Files and names are looked up; the other tasks go on meanwhile.
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let config = match tokio::task::block_in_place(|| validate::load(&self.path)) {
            Ok(Some((config, _))) => config,
            Ok(None) => return stays("it has mistakes"),
            Err(error) => return stays(&format!("{error:#}")),
        };
        let found = match changes(&self.text, &text) {
            Ok(found) => found,
            Err(mistake) => return stays(&mistake.text),
        };
        if let Err(problem) = self.take_over(&config) {
            return stays(&problem);
        }
        self.seen = contents(&config);
        self.config = config;
        let what = match found.taken.as_slice() {
            [] => String::new(),
            keys => format!(": {}", keys.join(", ")),
        };
        say(&format!("configuration and certificates are read anew{what}"));
        if !found.restart.is_empty() {
            say(&format!("only a restart takes over {}", found.restart.join(", ")));
            return;
        }
        self.text = text;
    }

    /// How long until the files of certificates and tokens are looked at; `None` is never.
    pub(super) fn renewal(&self) -> Option<Duration> {
        let listeners = self.config.listeners();
        let of_listeners = listeners.flat_map(|(_, listener)| {
            let tls = listener.tls.as_ref().and_then(|tls| tls.reload_interval);
            [tls, secret_interval(listener.auth.as_ref())]
        });
        let of_exporters = self
            .config
            .exporters
            .iter()
            .filter_map(Exporter::remote)
            .flat_map(|remote| [remote.tls.reload_interval, secret_interval(remote.auth.as_ref())]);
        of_listeners.chain(of_exporters).flatten().min()
    }

    /// Takes over what has changed in the files of certificates and tokens. Until they are sound the old ones stay.
    pub(super) fn renew(&mut self) {
        let seen = tokio::task::block_in_place(|| contents(&self.config));
        if seen == self.seen {
            return;
        }
        match self.take_over(&self.config) {
            Ok(()) => say("certificates and tokens have changed and are taken over"),
            Err(problem) => say(&format!("certificates or tokens have changed, the old ones stay: {problem}")),
        }
        self.seen = seen;
    }

    fn take_over(&self, config: &Config) -> Result<(), String> {
        for (receiver, is_grpc, certificates) in &self.certificates {
            if let Some(tls) = listener(config, receiver, *is_grpc).and_then(|listener| listener.tls.as_ref()) {
                certificates.change(tls).map_err(|error| error.to_string())?;
            }
        }
        for (receiver, is_grpc, guard) in &self.guards {
            if let Some(auth) = listener(config, receiver, *is_grpc).and_then(|listener| listener.auth.as_ref()) {
                guard.change(auth).map_err(|error| error.to_string())?;
            }
        }
        for exporter in &self.exporters {
            if let Some(settings) = config.exporters.iter().find(|settings| settings.name == exporter.name) {
                exporter.change(settings).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

fn listener<'c>(config: &'c Config, receiver: &str, is_grpc: bool) -> Option<&'c Listener> {
    if receiver == PAGE {
        return config.web.as_ref().map(|web| &web.listener);
    }
    let of = config.receivers.iter().find(|known| known.name == receiver)?;
    if is_grpc { of.grpc.as_ref() } else { of.http.as_ref() }
}

/// Files of secrets are looked at so often without being asked: whoever writes them anew tells nobody.
fn secret_interval(authenticator: Option<&Authenticator>) -> Option<Duration> {
    authenticator.and_then(Authenticator::file).map(|_| SECRETS_INTERVAL)
}

/// What the files of certificates and tokens say, each as a number; one that cannot be read is 0.
fn contents(config: &Config) -> BTreeMap<PathBuf, u64> {
    let listeners = config.listeners().flat_map(|(_, listener)| {
        let tls = listener.tls.as_ref();
        let identity = tls.map(|tls| &tls.identity);
        let authority = tls.and_then(|tls| tls.client_ca_file.as_ref());
        files(identity, authority, listener.auth.as_ref())
    });
    let exporters = config
        .exporters
        .iter()
        .filter_map(Exporter::remote)
        .flat_map(|remote| files(remote.tls.identity.as_ref(), remote.tls.ca_file.as_ref(), remote.auth.as_ref()));
    listeners.chain(exporters).map(|file| (file.path.clone(), content(&file.path))).collect()
}

fn files<'c>(
    identity: Option<&'c Identity>,
    authority: Option<&'c NamedFile>,
    authenticator: Option<&'c Authenticator>,
) -> impl Iterator<Item = &'c NamedFile> {
    let of_identity = identity.into_iter().flat_map(|identity| [&identity.cert_file, &identity.key_file]);
    of_identity.chain(authority).chain(authenticator.and_then(Authenticator::file))
}

fn content(path: &Path) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    match std::fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(CONTENT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }) {
        Ok(bytes) => {
            bytes.hash(&mut hasher);
            hasher.finish()
        }
        Err(_) => 0,
    }
}

fn stays(problem: &str) {
    say(&format!("the configuration is not read anew, the old one stays: {problem}"));
}
