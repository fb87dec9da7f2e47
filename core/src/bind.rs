//! The socket of a listener: where it is bound, and what it accepts. Host and port, or the path of
//! a Unix socket as `unix:/path`.

use std::{
    fs, io,
    net::{TcpListener as StdTcp, ToSocketAddrs},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt},
            net::UnixListener as StdUnix,
        },
    },
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener};

use crate::{
    error::{Error, Kind, Result, io_text},
    limits,
    socket::Socket,
};

/// A socket that listens.
pub(crate) struct Bound {
    socket: Family,
    /// What a guest is told: the IP address, or `unix:/path`.
    pub host: String,
    /// 0 for a Unix socket.
    pub port: u16,
    pub file: Option<SocketFile>,
}

enum Family {
    Tcp(StdTcp),
    Unix(StdUnix),
}

/// The file of a Unix socket. It is removed in the end, if it is still that socket's.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// The same socket in the runtime.
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// Binds to the first address of a name, or to a path, and listens.
    pub(crate) fn new(host: &[u8], port: u16) -> Result<Bound> {
        let shown = String::from_utf8_lossy(host);
        let fail = |what: String| Error::new(Kind::Listen, format!("listen on {shown}:{port}: {what}"));
        let wrong = |what: &str| Error { kind: Kind::InvalidArgument, ..fail(what.into()) };
        let host = match std::str::from_utf8(host) {
            Ok(host) if !host.is_empty() && !host.contains('\0') => host,
            _ => return Err(wrong("that is no host name")),
        };
        if let Some(path) = host.strip_prefix("unix:") {
            if !path.starts_with('/') || path.len() > limits::MAX_SOCKET_PATH || port != 0 {
                return Err(wrong("a Unix socket is unix:/path, with at most 107 bytes, and port 0"));
            }
            let (socket, file) = bind_path(Path::new(path)).map_err(|e| fail(io_text(&e)))?;
            return Ok(Bound { socket: Family::Unix(socket), host: host.into(), port, file: Some(file) });
        }
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let address = (host, port)
            .to_socket_addrs()
            .map_err(|e| fail(io_text(&e)))?
            .next()
            .ok_or_else(|| fail("the name has no address".into()))?;
        let bound = || {
            let socket = StdTcp::bind(address)?;
            // The standard library asks for a short queue; asking again lengthens it.
            rustix::net::listen(&socket, limits::BACKLOG)?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            let (host, port) = (address.ip().to_string(), address.port());
            Ok(Bound { socket: Family::Tcp(socket), host, port, file: None })
        };
        bound().map_err(|e: io::Error| fail(io_text(&e)))
    }

    /// A second descriptor of the socket.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            Family::Tcp(socket) => socket.try_clone().map(OwnedFd::from),
            Family::Unix(socket) => socket.try_clone().map(OwnedFd::from),
        }
    }

    /// For the runtime, inside of it.
    pub(crate) fn into_acceptor(self) -> io::Result<Acceptor> {
        Ok(match self.socket {
            Family::Tcp(socket) => Acceptor::Tcp(TcpListener::from_std(socket)?),
            Family::Unix(socket) => Acceptor::Unix(UnixListener::from_std(socket)?),
        })
    }
}

impl Acceptor {
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Acceptor::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                let _ = socket.set_nodelay(true);
                Ok(Socket::Tcp(socket))
            }
            Acceptor::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

/// Binds to a path. The file of a socket that nobody listens on any more is replaced. Who may
/// connect is what the umask and the folder say.
fn bind_path(path: &Path) -> io::Result<(StdUnix, SocketFile)> {
    let socket = match StdUnix::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            StdUnix::bind(path)?
        }
        other => other?,
    };
    let file = SocketFile { path: path.into(), identity: identity(path)? };
    rustix::net::listen(&socket, limits::BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((socket, file))
}

/// Whether this is a socket's file, and nobody listens.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // A listener with a full queue would have us wait, and is alive.
    let refuses = || {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path.as_os_str().as_bytes())?)
    };
    is_socket && refuses() == Err(rustix::io::Errno::CONNREFUSED)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A folder of this test's own.
    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("cmws-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn bind(path: &Path) -> Result<Bound> {
        Bound::new(format!("unix:{}", path.display()).as_bytes(), 0)
    }

    #[test]
    fn s10_a_unix_socket_is_bound_and_its_file_goes_with_it() {
        let folder = folder("bound");
        let path = folder.join("a.sock");
        let bound = bind(&path).unwrap();
        assert_eq!((&*bound.host, bound.port), (&*format!("unix:{}", path.display()), 0));
        UnixStream::connect(&path).unwrap();
        let error = bind(&path).err().unwrap();
        assert!(error.kind == Kind::Listen && error.text.contains("in use"), "{error}");
        UnixStream::connect(&path).unwrap(); // the other one did not harm it
        drop(bound);
        assert!(!path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn s10_a_stale_socket_is_replaced_and_nothing_else_is() {
        let folder = folder("stale");
        let path = folder.join("a.sock");
        drop(StdUnix::bind(&path).unwrap()); // its file stays
        assert!(path.exists());
        let bound = bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        // Someone else's file has taken the place: it stays.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(bound);
        assert!(bind(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        // Nor is what a link points to removed.
        let link = folder.join("link.sock");
        std::os::unix::fs::symlink(folder.join("gone"), &link).unwrap();
        assert!(bind(&link).is_err() && fs::symlink_metadata(&link).is_ok());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn s10_a_listener_that_does_not_accept_is_alive() {
        let folder = folder("full");
        let path = folder.join("a.sock");
        let busy = StdUnix::bind(&path).unwrap();
        rustix::net::listen(&busy, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        assert!(!is_stale(&path)); // its queue is full
        assert!(bind(&path).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn s10_paths_that_are_none_are_refused() {
        let long = format!("unix:/{}", "a".repeat(limits::MAX_SOCKET_PATH));
        for (host, port) in [("unix:", 0), ("unix:a", 0), ("unix:/a", 1), (&long, 0), ("", 0), ("a\0", 0)] {
            let error = Bound::new(host.as_bytes(), port).err().unwrap();
            assert_eq!(error.kind, Kind::InvalidArgument, "{host}");
        }
        assert_eq!(Bound::new(b"unix:/no/such/folder/a", 0).err().unwrap().kind, Kind::Listen);
    }
}
