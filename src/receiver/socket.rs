//! What is listened on: an address and a port, or a socket in the file system, for senders on this machine alone.
//!
//! A socket of the file system is made under another name, gets its mode, and then takes its name: nobody connects before the mode
//! is set, and one that a program left behind when it was killed is replaced. One that somebody answers at is taken.

use crate::config::settings::UnixSocket;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Address and port.
    Tcp(SocketAddr),
    /// A name in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(formatter),
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// The port, where it has one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

/// A listening socket.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _name: File },
}

/// A connection that came in.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) async fn bind_tcp(host: &str, port: u16) -> io::Result<(Socket, Address)> {
        let listener = TcpListener::bind((host, port)).await?;
        let address = listener.local_addr()?;
        Ok((Socket::Tcp(listener), Address::Tcp(address)))
    }

    pub(super) async fn bind_unix(settings: &UnixSocket) -> io::Result<(Socket, Address)> {
        let UnixSocket { path, mode } = settings;
        make_way(path).await?;
        let new = beside(path);
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        let named = std::fs::set_permissions(&new, std::fs::Permissions::from_mode(*mode))
            .and_then(|()| std::fs::rename(&new, path))
            .and_then(|()| File::of(path));
        match named {
            Ok(name) => Ok((Socket::Unix { listener, _name: name }, Address::Unix(path.clone()))),
            Err(error) => {
                let _ = std::fs::remove_file(&new);
                Err(error)
            }
        }
    }

    /// The next connection, with the address that it counts for. Who comes by the file system has none.
    pub(super) async fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Socket::Tcp(listener) => listener.accept().await.map(|(stream, from)| (Stream::Tcp(stream), from.ip())),
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
            }
        }
    }

    /// Whether connections have addresses that tell senders apart.
    pub(super) fn has_addresses(&self) -> bool {
        matches!(self, Socket::Tcp(_))
    }
}

/// The name of a socket, which goes with it.
pub(super) struct File {
    path: PathBuf,
    id: (u64, u64),
}

impl File {
    fn of(path: &Path) -> io::Result<File> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(File { path: path.to_owned(), id: (metadata.dev(), metadata.ino()) })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Another why502 may have taken its place.
        let is_ours = std::fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.id);
        if is_ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    PathBuf::from(name)
}

/// Sees that nobody else's file is replaced.
async fn make_way(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file of this name that is no socket"));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        // Whoever made it is gone.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: &Path) -> UnixSocket {
        UnixSocket { path: path.to_owned(), mode: 0o640 }
    }

    fn kind(bound: io::Result<(Socket, Address)>) -> Option<ErrorKind> {
        bound.err().map(|error| error.kind())
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_replaces_one_that_is_dead_and_goes_with_its_program() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("otlp.sock");
        let (first, address) = Socket::bind_unix(&settings(&path)).await.expect("a socket");
        assert_eq!(address.to_string(), format!("unix:{}", path.display()));
        let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(kind(Socket::bind_unix(&settings(&path)).await), Some(ErrorKind::AddrInUse));
        drop(first);
        assert!(!path.exists());
        // As after a kill: the name is left and nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let (second, _) = Socket::bind_unix(&settings(&path)).await.expect("it is dead");
        let _sender = UnixStream::connect(&path).await.expect("it listens");
        assert!(second.accept().await.is_ok());
        // What took its name meanwhile stays.
        std::fs::remove_file(&path).expect("it was there");
        std::fs::write(&path, "a file").expect("a file");
        drop(second);
        assert!(path.exists());
        assert_eq!(kind(Socket::bind_unix(&settings(&path)).await), Some(ErrorKind::AlreadyExists));
        let names = std::fs::read_dir(directory.path()).expect("a directory").count();
        assert_eq!(names, 1, "nothing is left beside it");
    }
}
