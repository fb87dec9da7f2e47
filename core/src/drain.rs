//! Draining: a listener's connections are closed one after the other, within a given time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{connection::Connection, limits, protocol::GOING_AWAY};

/// Closes the connections with 1001, evenly over the first three quarters of `time`. Those whose
/// peers have not answered when it is over are cut off; when it returns, all have ended.
pub(crate) async fn run(connections: Vec<Arc<Connection>>, time: Duration, reason: &[u8]) {
    let (start, spread) = (Instant::now(), time.mul_f64(0.75));
    let part = 1.0 / connections.len().max(1) as f64;
    let mut standing = connections.into_iter().enumerate().peekable();
    let mut leaving = Vec::new();
    loop {
        let elapsed = start.elapsed();
        while let Some((_, connection)) =
            standing.next_if(|(nth, _)| spread.mul_f64(*nth as f64 * part) <= elapsed)
        {
            // One that closes already has the same time as the others.
            let _ = connection.close(GOING_AWAY, reason);
            leaving.push(connection);
        }
        leaving.retain(|connection| connection.end.get().is_none());
        if leaving.is_empty() && standing.peek().is_none() {
            return;
        }
        if elapsed >= time {
            for connection in &leaving {
                connection.cut.store(true, Ordering::Release);
                connection.rung.store(true, Ordering::Release);
                connection.waker.wake();
            }
        }
        sleep(limits::DRAIN_STEP).await;
    }
}
