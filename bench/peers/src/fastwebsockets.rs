//! A plain echo server with fastwebsockets, in the form that its documentation recommends: hyper
//! does the upgrade, a `FragmentCollector` gives whole messages, each connection is a task without
//! tokio's budget on a current_thread runtime. All settings are the defaults.
//!
//! The first line printed is "LISTENING <port>".

use std::error::Error;

use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task};

async fn echo(upgraded: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    // How a connection ends is of no interest here: the load generator counts errors.
    task::spawn(task::unconstrained(async move { echo(upgraded).await.ok() }));
    Ok(response)
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("LISTENING {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        let http = http1::Builder::new();
        task::spawn(http.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve())
}
