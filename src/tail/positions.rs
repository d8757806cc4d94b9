//! How far files were delivered, kept in a file: a restart goes on from there.
//!
//! ```text
//! {"version":1,"files":[{"path":"/var/log/nginx/access.log","device":2049,"inode":131,"offset":9216,"first":"MTAuMC4w..."}]}
//! ```
//!
//! It is written whole beside the old one, synced, and takes its name: a crash leaves one of both.

use super::followed::Left;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version that is written and read.
const VERSION: u64 = 1;
/// Largest file that is read: positions of all files that may be followed.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How far each file was given out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(Vec<Left>);

/// Why positions cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PositionsError {
    /// The file is not one of positions.
    #[error("{path} holds no positions: {problem}; name another file, or delete it to begin anew", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file cannot be read or written.
    #[error("cannot use {path} for positions: {source}; check its folder and who may write there", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u64,
    files: Vec<WrittenFile>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    offset: u64,
    /// In base64.
    first: String,
}

impl Positions {
    pub(super) fn of(left: impl Iterator<Item = Left>) -> Positions {
        Positions(left.collect())
    }

    pub(super) fn left(&self) -> impl Iterator<Item = Left> + '_ {
        self.0.iter().cloned()
    }

    /// Reads a file of them; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not one of them.
    pub fn read(path: &Path) -> Result<Option<Positions>, PositionsError> {
        let file = |source| PositionsError::File { path: path.to_owned(), source };
        let damaged = |problem: String| PositionsError::Damaged { path: path.to_owned(), problem };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file(error)),
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(damaged("it is larger than 64 MiB".to_owned()));
            }
            Ok(_) => {}
        }
        let text = std::fs::read(path).map_err(file)?;
        let written: Written = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if written.version != VERSION {
            return Err(damaged(format!("it is of version {}, and this program reads {VERSION}", written.version)));
        }
        let mut left = Vec::new();
        for file in written.files {
            let first = BASE64_STANDARD.decode(&file.first).map_err(|error| damaged(error.to_string()))?;
            left.push(Left { id: (file.device, file.inode), path: file.path, offset: file.offset, first });
        }
        Ok(Some(Positions(left)))
    }

    /// Finds out whether a file of them can be written beside this path; none is.
    ///
    /// # Errors
    /// When it cannot.
    pub fn try_to_write(path: &Path) -> Result<(), PositionsError> {
        let made = tempfile::NamedTempFile::new_in(folder_of(path));
        made.map(drop).map_err(|source| PositionsError::File { path: path.to_owned(), source })
    }

    /// Writes them where they are found again after a crash.
    ///
    /// # Errors
    /// When the file cannot be written; the old one stays then.
    pub fn write(&self, path: &Path) -> Result<(), PositionsError> {
        let files = self.0.iter().map(|left| WrittenFile {
            path: left.path.clone(),
            device: left.id.0,
            inode: left.id.1,
            offset: left.offset,
            first: BASE64_STANDARD.encode(&left.first),
        });
        let written = Written { version: VERSION, files: files.collect() };
        let folder = folder_of(path);
        let write = || -> std::io::Result<()> {
            let mut beside = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut beside, &written)?;
            beside.write_all(b"\n")?;
            beside.as_file().sync_all()?;
            beside.persist(path)?;
            std::fs::File::open(folder)?.sync_all()
        };
        write().map_err(|source| PositionsError::File { path: path.to_owned(), source })
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
