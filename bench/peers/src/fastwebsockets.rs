//! An echo server and a client with fastwebsockets, in the form of its own echo example: hyper does
//! the upgrade, a `FragmentCollector` gives whole messages, each connection is a task of a
//! current_thread runtime. All settings are the defaults, and without vectored writes over TLS, as there.

use std::future::{Future, ready};

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocket, WebSocketError, handshake,
    upgrade,
};
use futures::{StreamExt, future};
use http_body_util::Empty;
use hyper::{
    Request, Uri, header, rt::Executor, server::conn::http1, service::service_fn, upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use peer::{Options, Peer, Result, Room, Stream, count, spawn};
use tokio::net::TcpStream;

static ROOM: Room<(OpCode, Bytes)> = Room::new();

struct Fastwebsockets;

impl Peer for Fastwebsockets {
    const COMPRESSES: bool = false;

    async fn serve<S: Stream>(stream: S, options: Options) -> Result<()> {
        let service = service_fn(|mut request| async move {
            let (response, upgraded) = upgrade::upgrade(&mut request)?;
            if options.broadcast {
                spawn(broadcast(upgraded, options));
            } else {
                spawn(echo(upgraded, options));
            }
            Ok::<_, WebSocketError>(response)
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await?;
        Ok(())
    }

    async fn load(url: String, size: usize, depth: usize) -> Result<()> {
        let uri: Uri = url.parse()?;
        let authority = uri.authority().ok_or("the URL has no host")?.as_str();
        let stream = TcpStream::connect(authority).await?;
        let request = Request::get(&url)
            .header(header::HOST, authority)
            .header(header::UPGRADE, "websocket")
            .header(header::CONNECTION, "upgrade")
            .header(header::SEC_WEBSOCKET_KEY, handshake::generate_key())
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .body(Empty::<Bytes>::new())?;
        let (socket, _response) = handshake::client(&Tasks, request, stream).await?;
        let mut socket = FragmentCollector::new(socket);
        for _ in 0..depth {
            socket.write_frame(Frame::binary(vec![b'x'; size].into())).await?;
        }
        loop {
            let frame = socket.read_frame().await?;
            match frame.opcode {
                OpCode::Text | OpCode::Binary => {
                    count(frame.payload.len(), size)?;
                    // Masked in place: what came in is sent again, and nothing copied.
                    socket.write_frame(frame).await?;
                }
                OpCode::Close => return Ok(()),
                _ => {}
            }
        }
    }
}

async fn accept(upgraded: upgrade::UpgradeFut, options: Options) -> Result<WebSocket<TokioIo<Upgraded>>> {
    let mut socket = upgraded.await?;
    socket.set_writev(!options.tls);
    Ok(socket)
}

async fn echo(upgraded: upgrade::UpgradeFut, options: Options) -> Result<()> {
    let mut socket = FragmentCollector::new(accept(upgraded, options).await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}

/// Reads and writes at the same time: the stream is split, as in the library's example of that.
async fn broadcast(upgraded: upgrade::UpgradeFut, options: Options) -> Result<()> {
    let (read, mut write) = accept(upgraded, options).await?.split(tokio::io::split);
    let mut read = FragmentCollectorRead::new(read);
    let (guest, mut queue) = ROOM.enter();
    // Pongs and the answer to a close are this connection's alone.
    let mut control = |frame: Frame<'_>| {
        guest.send((frame.opcode, Bytes::copy_from_slice(&frame.payload)));
        ready(Ok::<_, WebSocketError>(()))
    };
    let receive = async {
        loop {
            let frame = read.read_frame(&mut control).await?;
            if matches!(frame.opcode, OpCode::Text | OpCode::Binary) {
                let payload = match frame.payload {
                    Payload::Bytes(bytes) => bytes.freeze(),
                    collected => Vec::from(collected).into(),
                };
                ROOM.send(&(frame.opcode, payload));
            }
        }
    };
    let send = async {
        while let Some((opcode, payload)) = queue.next().await {
            write.write_frame(Frame::new(true, opcode, None, Payload::Borrowed(&payload))).await?;
            if opcode == OpCode::Close {
                break;
            }
        }
        Err(WebSocketError::ConnectionClosed)
    };
    let ((), ()) = future::try_join(receive, send).await?;
    Ok(())
}

/// hyper's tasks are tokio's.
struct Tasks;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}

fn main() -> Result<()> {
    peer::run::<Fastwebsockets>()
}
