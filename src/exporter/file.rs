//! OTLP JSON to a file, one request a line, as the collector's file exporter writes it.

use super::StartError;
use super::error::{Delivered, DeliveryError, Then};
use super::queue::Deliver;
use crate::config::settings::{ClientTls, Compression, Queue, Remote, Retry, WhenFull};
use crate::otlp::{Signal, json};
use bytes::Bytes;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

/// An open file. One that was renamed or deleted, as rotation does, is made anew under its name.
pub struct File {
    path: PathBuf,
    file: Mutex<tokio::fs::File>,
}

impl File {
    /// Opens it to append.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(name: &str, path: &Path) -> Result<File, StartError> {
        let file = appended().open(path);
        let file = file.map_err(|source| StartError::File { name: name.to_owned(), path: path.to_owned(), source })?;
        Ok(File { path: path.to_owned(), file: Mutex::new(tokio::fs::File::from_std(file)) })
    }

    async fn write(&self, signal: Signal, request: Bytes) -> Result<Delivered, DeliveryError> {
        let text = json::from_protobuf(signal, &request);
        let mut text =
            text.map_err(|error| DeliveryError { text: error.to_string(), reason: "encoding", then: Then::Drop })?;
        text.push('\n');
        let failed = |error: std::io::Error| DeliveryError {
            text: format!("cannot write {}: {error}; is the disk full?", self.path.display()),
            reason: "write_failed",
            then: Then::Retry(None),
        };
        let mut file = self.file.lock().await;
        let mut open = file.metadata().await.map_err(failed)?;
        let named = tokio::fs::metadata(&self.path).await.ok();
        if named.is_none_or(|named| (named.dev(), named.ino()) != (open.dev(), open.ino())) {
            *file = tokio::fs::OpenOptions::from(appended()).open(&self.path).await.map_err(failed)?;
            open = file.metadata().await.map_err(failed)?;
        }
        let before = open.len();
        let mut written = file.write_all(text.as_bytes()).await;
        if written.is_ok() {
            written = file.flush().await;
        }
        if let Err(error) = written {
            // Half a line would spoil the next one too. What is no file cannot be cut, and is not asked to be.
            let _ = file.set_len(before).await;
            return Err(failed(error));
        }
        Ok(Delivered::default())
    }
}

fn appended() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    options
}

impl Deliver for File {
    fn deliver(
        &self,
        signal: Signal,
        request: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<Delivered, DeliveryError>> + Send + '_>> {
        Box::pin(self.write(signal, request))
    }
}

/// One consumer keeps the order; requests are joined to lines of at most 4 MiB.
pub fn queue_settings() -> Remote {
    Remote {
        auth: None,
        proxy: None,
        endpoints: [None, None, None],
        headers: Vec::new(),
        compression: Compression::None,
        json: true,
        timeout: Duration::from_secs(10),
        tls: ClientTls::default(),
        queue: Queue {
            requests_max: 1_000,
            items_max: u64::MAX,
            bytes_max: 128 << 20,
            consumers: 1,
            when_full: WhenFull::Refuse,
        },
        dead_letter: None,
        is_journaled: false,
        retry: Retry {
            enabled: true,
            initial_interval: Duration::from_secs(1),
            randomization_factor: 0.5,
            multiplier: 2.0,
            max_interval: Duration::from_secs(30),
            // A disk is full until somebody makes room; meanwhile senders are asked to come back.
            max_elapsed_time: Duration::ZERO,
        },
        request_bytes_max: 4 << 20,
        request_items_max: None,
    }
}
