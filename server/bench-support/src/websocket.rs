//! The floor over WebSocket: bare tokio-tungstenite loops on a current-thread runtime, tuned as both our programs
//! tune it (4 KiB buffers instead of 128 KiB that are cleared at each read, no Nagle) and with nothing around them.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use crate::children::Task;
use crate::load::{GETS, VALUE, preload};
use crate::window::{Sample, Window};
use crate::wire::block_on;

/// Each buffer of each connection.
const BUFFER_BYTES: usize = 4096;

fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES)
}

/// Answers every text message with the same one of the load's size.
pub fn serve(listener: StdListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(answer(stream));
        }
    })
}

/// A client may leave in any way.
async fn answer(stream: TcpStream) {
    let Ok(mut stream) = accept_async_with_config(stream, Some(config())).await else { return };
    while let Some(Ok(message)) = stream.next().await {
        if message.is_text() && stream.send(Message::text(VALUE)).await.is_err() {
            return;
        }
    }
}

/// Asks over all connections, one request outstanding on each.
pub fn generate(task: &Task) -> anyhow::Result<Window> {
    block_on(async {
        let mut clients = Vec::with_capacity(task.connections);
        for number in 0..task.connections {
            clients.push(open(task, number).await.context("setting up the floor generator's clients")?);
        }
        let answered = Arc::new(AtomicU64::new(0));
        let mut loops = JoinSet::new();
        for client in clients {
            loops.spawn(ask_on(client, Arc::clone(&answered)));
        }
        let window = async {
            tokio::time::sleep(task.warmup).await;
            let from = Sample::of_task(task, answered.load(Ordering::Relaxed));
            tokio::time::sleep(task.length).await;
            from.until(&Sample::of_task(task, answered.load(Ordering::Relaxed)))
        };
        tokio::select! {
            window = window => window,
            ended = loops.join_next() => match ended {
                Some(Ok(Err(error))) => Err(error),
                _ => bail!("a client of the floor generator ended early"),
            },
        }
    })
}

async fn open(task: &Task, number: usize) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(task.endpoint.address).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{}/", task.endpoint.address);
    let (mut stream, _) = client_async_with_config(url, stream, Some(config())).await?;
    for message in preload(number) {
        ask(&mut stream, Message::text(message)).await?;
    }
    for get in GETS {
        let reply = ask(&mut stream, Message::text(get)).await?;
        ensure!(is_value(&reply), "`{get}` was answered by {reply:?}");
    }
    Ok(stream)
}

async fn ask_on(mut stream: WebSocketStream<TcpStream>, answered: Arc<AtomicU64>) -> anyhow::Result<()> {
    let requests = GETS.map(Message::text);
    for request in requests.iter().cycle() {
        let reply = ask(&mut stream, request.clone()).await?;
        ensure!(is_value(&reply), "a wrong reply: {reply:?}");
        // One thread counts: a load and a store are enough.
        answered.store(answered.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    Ok(())
}

async fn ask(stream: &mut WebSocketStream<TcpStream>, request: Message) -> anyhow::Result<Message> {
    stream.send(request).await?;
    Ok(stream.next().await.context("the server closed a connection")??)
}

fn is_value(reply: &Message) -> bool {
    matches!(reply, Message::Text(text) if text.as_str() == VALUE)
}
