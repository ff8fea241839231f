//! The app of the pod, with nothing but the standard library, so that `rustc` alone makes it a static program.
//!
//! It answers requests on the socket that `APP_SOCKET` names, and writes the id of each event that it took into
//! the file `received` beside the socket, before it says 200. While a file `refuse` is there it says 503. To
//! names asked for on UDP port 53 of loopback it answers 127.0.0.1, if it may listen there.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

fn main() -> io::Result<()> {
    let socket = PathBuf::from(std::env::var_os("APP_SOCKET").expect("APP_SOCKET"));
    let folder = socket.parent().expect("a folder").to_owned();
    let received = File::options()
        .create(true)
        .append(true)
        .open(folder.join("received"))?;
    let received = Arc::new(Mutex::new(received));
    if let Ok(names) = UdpSocket::bind("127.0.0.1:53") {
        thread::spawn(move || answer_names(&names));
    }
    let _ = fs::remove_file(&socket); // of one that was killed
    let listener = UnixListener::bind(&socket)?;
    for stream in listener.incoming() {
        let (stream, received, refuse) = (stream?, Arc::clone(&received), folder.join("refuse"));
        thread::spawn(move || serve(&stream, &received, &refuse));
    }
    Ok(())
}

/// Answers one request after the other until the connection ends.
fn serve(stream: &UnixStream, received: &Mutex<File>, refuse: &Path) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    loop {
        let (mut id, mut length, mut line) = (String::new(), 0, String::new());
        while {
            line.clear();
            requests.read_line(&mut line)? > 2
        } {
            let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "hookgate-event-id" => id = value.to_owned(),
                "content-length" => length = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        if line.is_empty() {
            return Ok(());
        }
        io::copy(&mut (&mut requests).take(length), &mut io::sink())?;
        let status = if refuse.exists() {
            "503 Service Unavailable"
        } else {
            let mut file = received.lock().expect("nobody panics");
            file.write_all(format!("{id}\n").as_bytes())?;
            "200 OK"
        };
        (&mut &*stream)
            .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    }
}

/// Says 127.0.0.1 to every question for an IPv4 address, and nothing to others (RFC 1035, section 4).
fn answer_names(names: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, from)) = names.recv_from(&mut question) {
        let Some(end) = question[12..length]
            .iter()
            .position(|byte| *byte == 0)
            .map(|zero| 12 + zero + 5)
        else {
            continue;
        };
        let is_a = question[end - 4..end - 2] == [0, 1];
        let mut answer = question[..end].to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80]); // an answer, without error
        answer[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
        if is_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _ = names.send_to(&answer, from);
    }
}
