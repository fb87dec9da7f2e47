//! An echo server and a client with tokio-websockets, in the form of its own echo example, which its
//! benchmarks run: no splitting into frames, no limits, each message sent as it comes. Feeding the
//! sink would gain nothing: the stream flushes before each read.

use std::pin::pin;

use bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt, future};
use peer::{Options, Peer, Result, Room, Stream, count};
use tokio_websockets::{ClientBuilder, Config, Error, Limits, Message, ServerBuilder};

static ROOM: Room<Message> = Room::new();

struct TokioWebsockets;

impl Peer for TokioWebsockets {
    const COMPRESSES: bool = false;

    async fn serve<S: Stream>(stream: S, options: Options) -> Result<()> {
        let server = ServerBuilder::new().config(config()).limits(Limits::unlimited());
        let (_request, mut socket) = server.accept(stream).await?;
        if options.broadcast {
            let (_guest, queue) = ROOM.enter();
            let (write, mut read) = socket.split();
            let receive = async {
                while let Some(message) = read.try_next().await? {
                    if is_data(&message) {
                        ROOM.send(&message);
                    }
                }
                Ok::<_, Error>(())
            };
            future::select(pin!(receive), queue.map(Ok).forward(write)).await;
            return Ok(());
        }
        while let Some(message) = socket.try_next().await? {
            if is_data(&message) {
                socket.send(message).await?;
            }
        }
        Ok(())
    }

    async fn load(url: String, size: usize, depth: usize) -> Result<()> {
        let client = ClientBuilder::new().uri(&url)?.config(config()).limits(Limits::unlimited());
        let (mut socket, _response) = client.connect().await?;
        let payload = Bytes::from(vec![b'x'; size]);
        for _ in 0..depth {
            socket.feed(Message::binary(payload.clone())).await?;
        }
        socket.flush().await?;
        while let Some(message) = socket.try_next().await? {
            if is_data(&message) {
                count(message.as_payload().len(), size)?;
                socket.send(Message::binary(payload.clone())).await?;
            }
        }
        Ok(())
    }
}

fn config() -> Config {
    Config::default().frame_size(usize::MAX)
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

fn main() -> Result<()> {
    peer::run::<TokioWebsockets>()
}
