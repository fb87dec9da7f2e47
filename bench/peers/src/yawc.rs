//! An echo server and a client with yawc, in the form that its README measures as tuned: a read
//! buffer of 128 KiB, a write boundary of 64 KiB, and up to 32 messages that are there already
//! answered with one flush. hyper does the upgrade, as in its examples.

use std::pin::pin;

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt, future};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peer::{Options, Peer, Result, Room, Stream, count, spawn};
use tokio::io::{AsyncRead, AsyncWrite};
use yawc::{Frame, OpCode, UpgradeFut, WebSocket};

/// The most messages that are answered with one flush.
const BATCH: usize = 32;

static ROOM: Room<Frame> = Room::new();

struct Yawc;

impl Peer for Yawc {
    const COMPRESSES: bool = true;

    async fn serve<S: Stream>(stream: S, options: Options) -> Result<()> {
        let service = service_fn(|mut request| async move {
            let (response, upgraded) = WebSocket::upgrade_with_options(&mut request, tuned(options))?;
            spawn(serve_upgraded(upgraded, options));
            yawc::Result::Ok(response)
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await?;
        Ok(())
    }

    async fn load(url: String, size: usize, depth: usize) -> Result<()> {
        let options = tuned(Options::default());
        let socket = &mut WebSocket::connect(url.parse()?).with_options(options).await?;
        let payload = Bytes::from(vec![b'x'; size]);
        for _ in 0..depth {
            socket.feed(Frame::binary(payload.clone())).await?;
        }
        socket.flush().await?;
        answer(socket, |frame| {
            count(frame.payload().len(), size)?;
            Ok(Frame::binary(payload.clone()))
        })
        .await
    }
}

fn tuned(options: Options) -> yawc::Options {
    let tuned = yawc::Options::default()
        .with_utf8()
        .with_limits(64 << 20, 64 << 20)
        .with_read_buffer_capacity(128 << 10)
        .with_backpressure_boundary(64 << 10);
    if options.compress { tuned.with_balanced_compression() } else { tuned.without_compression() }
}

async fn serve_upgraded(upgraded: UpgradeFut, options: Options) -> Result<()> {
    let mut socket = upgraded.await?;
    if !options.broadcast {
        return answer(&mut socket, Ok).await;
    }
    let (_guest, queue) = ROOM.enter();
    let (write, mut read) = socket.split();
    let receive = async {
        while let Some(frame) = read.next().await {
            if is_data(&frame) {
                ROOM.send(&frame);
            }
        }
    };
    future::select(pin!(receive), queue.map(Ok).forward(write)).await;
    Ok(())
}

/// Answers each message, until the connection ends.
async fn answer<S>(socket: &mut WebSocket<S>, mut reply: impl FnMut(Frame) -> Result<Frame>) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let mut frame = socket.next_frame().await?;
        for left in (0..BATCH).rev() {
            if frame.opcode() == OpCode::Close {
                return Ok(socket.close().await?);
            }
            if is_data(&frame) {
                socket.feed(reply(frame)?).await?;
            }
            // The last of a batch must not read one more: it would be lost.
            if left == 0 {
                break;
            }
            frame = match socket.next_frame().now_or_never() {
                Some(next) => next?,
                None => break,
            };
        }
        socket.flush().await?;
    }
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}

fn main() -> Result<()> {
    peer::run::<Yawc>()
}
