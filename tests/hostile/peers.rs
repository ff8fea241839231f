//! Hostile peers, one connection each, of every kind that we know.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::support::sender::{Sender, bytes, tampered};

pub(crate) const KINDS: usize = 13;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The pace of those who drip.
const DRIP: Duration = Duration::from_millis(400);

/// A connection from this address to that one.
pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// What the peers of one test share.
pub(crate) struct Script {
    pub(crate) gate: SocketAddr,
    forged: Vec<u8>,
    large: Vec<u8>,
}

impl Script {
    pub(crate) fn new(gate: SocketAddr) -> Self {
        let forged = tampered(&Sender::new("stripe").event("evt_forged"));
        let head = "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"
            .as_bytes();
        Self {
            gate,
            forged: bytes(&forged),
            large: [head, &vec![b'x'; 1_048_575]].concat(),
        }
    }

    /// One connection of this kind, until it is closed; an error is an end like any other.
    pub(crate) async fn play(&self, kind: usize, from: Ipv4Addr) -> io::Result<()> {
        let mut peer = connect(from, self.gate).await?;
        match kind {
            0 => {}
            1 => peer.write_all(b"P").await?,
            2 => slow_head(&mut peer).await?,
            3 => slow_body(&mut peer).await?,
            4 => {
                let value = "v".repeat(31_000);
                let head = format!("POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nX: {value}");
                peer.write_all(head.as_bytes()).await?;
            }
            5 => return never_read(&mut peer, &self.forged).await,
            6 => peer.write_all(&PREFACE[..20]).await?,
            7 => open_streams(&mut peer, &block(0), &block(0)).await?,
            8 => return flood(&mut peer).await,
            9 => peer.write_all(&self.large).await?,
            10 => return self.forge(&mut peer).await,
            11 => open_streams(&mut peer, &block(14_000), &block(14_000)).await?,
            _ => {
                let mut head = block(0);
                head[2] = 0x01; // nothing but the long header is kept
                let keeping = [&*head, &kept(3_800)].concat();
                let pointing = [&*head, &[0xbe; 4]].concat();
                open_streams(&mut peer, &keeping, &pointing).await?;
            }
        }
        until_closed(&mut peer).await
    }

    /// Bad signatures as fast as they are answered.
    async fn forge(&self, peer: &mut TcpStream) -> io::Result<()> {
        let mut answer = [0; 1024];
        loop {
            peer.write_all(&self.forged).await?;
            if peer.read(&mut answer).await? == 0 {
                return Ok(());
            }
        }
    }
}

async fn until_closed(peer: &mut TcpStream) -> io::Result<()> {
    let mut dropped = [0; 4096];
    while peer.read(&mut dropped).await? > 0 {}
    Ok(())
}

async fn slow_head(peer: &mut TcpStream) -> io::Result<()> {
    peer.write_all(b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\n")
        .await?;
    loop {
        peer.write_all(b"X-A: b\r\n").await?;
        sleep(DRIP).await;
    }
}

async fn slow_body(peer: &mut TcpStream) -> io::Result<()> {
    peer.write_all(b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        .await?;
    loop {
        peer.write_all(b"x").await?;
        sleep(DRIP).await;
    }
}

/// Requests without end, of which no answer is ever read.
async fn never_read(peer: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    loop {
        peer.write_all(request).await?;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// A head in HPACK: POST to the source, with so many bytes in a header.
fn block(length: usize) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x41, 1, b'a', 0x04];
    let path = b"/webhooks/stripe";
    block.push(u8::try_from(path.len()).expect("short"));
    block.extend_from_slice(path);
    if length > 0 {
        block.extend(literal(0x00, length));
    }
    block
}

/// A header that the decoder keeps in its table, where 0xbe points to it.
fn kept(length: usize) -> Vec<u8> {
    literal(0x40, length)
}

fn literal(representation: u8, length: usize) -> Vec<u8> {
    let mut literal = vec![representation, 1, b'x', 0x7f];
    let mut rest = length - 127;
    while rest >= 128 {
        literal.push(u8::try_from(rest % 128).expect("seven bits") | 0x80);
        rest /= 128;
    }
    literal.push(u8::try_from(rest).expect("seven bits"));
    literal.resize(literal.len() + length, b'v');
    literal
}

/// As many streams as are allowed, each with a head and a byte of a body that never ends.
async fn open_streams(peer: &mut TcpStream, first: &[u8], others: &[u8]) -> io::Result<()> {
    peer.write_all(&[PREFACE, &SETTINGS].concat()).await?;
    for stream in (1..64).step_by(2) {
        let head = if stream == 1 { first } else { others };
        let request = [frame(1, 4, stream, head), frame(0, 0, stream, b"x")];
        peer.write_all(&request.concat()).await?;
    }
    Ok(())
}

/// Pings, and streams that are reset at once.
async fn flood(peer: &mut TcpStream) -> io::Result<()> {
    let head = block(0);
    peer.write_all(&[PREFACE, &SETTINGS].concat()).await?;
    for stream in (1..).step_by(2) {
        let ping = frame(6, 0, 0, &[0; 8]);
        let reset = frame(3, 0, stream, &[0, 0, 0, 8]);
        let burst = [ping, frame(1, 4, stream, &head), reset].concat();
        peer.write_all(&burst).await?;
        tokio::task::yield_now().await; // it never waits while the socket takes everything
    }
    Ok(())
}
