//! SIGHUP: the configuration and the certificates are read anew. What can be taken over without dropping a connection is,
//! what cannot is named, and where something is wrong the old one stays as it is.

use super::{say, validate};
use crate::config::changes::changes;
use crate::config::settings::{Config, Listener};
use crate::exporter::Exporter;
use crate::receiver::serve::{Bound, Certificates};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What runs by a file, and may go on by another state of it.
pub(super) struct Running {
    path: PathBuf,
    /// The file as it was taken over last.
    text: String,
    /// Those of listeners: receiver, whether it is gRPC, what greets connections.
    certificates: Vec<(String, bool, Certificates)>,
    exporters: Vec<Arc<Exporter>>,
}

impl Running {
    /// What was started; `None` without a file.
    pub(super) fn new(
        file: Option<&Path>,
        config: &Config,
        sockets: &[(usize, bool, Listener, Bound)],
        exporters: &[Arc<Exporter>],
    ) -> Option<Running> {
        let path = file?.to_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let certificates = sockets
            .iter()
            .filter_map(|(receiver, is_grpc, _, bound)| {
                let name = config.receivers.get(*receiver)?.name.clone();
                Some((name, *is_grpc, bound.certificates()?))
            })
            .collect();
        Some(Running { path, text, certificates, exporters: exporters.to_vec() })
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

    fn take_over(&self, config: &Config) -> Result<(), String> {
        for (receiver, is_grpc, certificates) in &self.certificates {
            let of = config.receivers.iter().find(|known| known.name == *receiver);
            let listener = of.and_then(|of| if *is_grpc { of.grpc.as_ref() } else { of.http.as_ref() });
            if let Some(tls) = listener.and_then(|listener| listener.tls.as_ref()) {
                certificates.change(tls).map_err(|error| error.to_string())?;
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

fn stays(problem: &str) {
    say(&format!("the configuration is not read anew, the old one stays: {problem}"));
}
