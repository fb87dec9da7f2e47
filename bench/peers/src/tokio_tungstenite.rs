//! An echo server and a client with tokio-tungstenite, in the form of its own echo example: the
//! stream is split and its messages forwarded to the sink, which flushes once nothing more is there
//! to read. All settings are the defaults; its documentation has the 128 KiB read buffer for high load.

use std::pin::pin;

use bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt, future};
use peer::{Broken, Options, Peer, Result, Room, Stream, count};
use tokio_tungstenite::{
    accept_async, connect_async,
    tungstenite::{Error, Message},
};

static ROOM: Room<Message> = Room::new();

struct TokioTungstenite;

impl Peer for TokioTungstenite {
    const COMPRESSES: bool = false;

    async fn serve<S: Stream>(stream: S, options: Options) -> Result<()> {
        let (write, read) = accept_async(stream).await?.split();
        let mut messages = read.try_filter(|message| future::ready(is_data(message)));
        if !options.broadcast {
            return Ok(messages.forward(write).await?);
        }
        let (_guest, queue) = ROOM.enter();
        let receive = async {
            while let Some(message) = messages.try_next().await? {
                ROOM.send(&message);
            }
            Ok::<_, Error>(())
        };
        future::select(pin!(receive), queue.map(Ok).forward(write)).await;
        Ok(())
    }

    async fn load(url: String, size: usize, depth: usize) -> Result<()> {
        let (socket, _) = connect_async(url).await?;
        let (mut write, read) = socket.split();
        let payload = Bytes::from(vec![b'x'; size]);
        for _ in 0..depth {
            write.feed(Message::Binary(payload.clone())).await?;
        }
        write.flush().await?;
        let replies = read.try_filter(|message| future::ready(is_data(message))).map(|message| {
            count(message?.len(), size)?;
            Ok(Message::Binary(payload.clone()))
        });
        replies.forward(write.sink_map_err(Broken::from)).await
    }
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

fn main() -> Result<()> {
    peer::run::<TokioTungstenite>()
}
