//! A kickstart from a web server. The network may come up later than the installer.

use std::io::ErrorKind;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_document::MAX_BYTES;

use crate::log::Log;

/// One try.
const DEADLINE: Duration = Duration::from_secs(20);
/// All of them.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two of them; it grows.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The text at a URL.
pub(super) fn text(url: &str, log: &mut Log) -> Result<String> {
    let doing = || format!("cannot get `{url}`");
    let agent = basalt_archive::agent(url, None, DEADLINE)?;
    let (began, mut pause) = (Instant::now(), PAUSE);
    loop {
        match get(&agent, url) {
            Ok(bytes) => return basalt_kickstart_file::text(bytes).with_context(doing),
            Err(ureq::Error::StatusCode(status)) if status < 500 => {
                bail!("{}: the server says {status}", doing())
            }
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                bail!("{}: it is too long: at most {MAX_BYTES} bytes are read", doing())
            }
            Err(error) if is_final(&error) || began.elapsed() + pause > PATIENCE => {
                return Err(error).with_context(doing);
            }
            Err(error) => {
                let seconds = pause.as_secs();
                log.say(&format!("{}: {error}; once more in {seconds} s", doing()));
            }
        }
        sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Whether asking again is for nothing: the server is there, and has another opinion; or it cannot
/// be shown to be the one that was meant.
pub(crate) fn is_final(error: &ureq::Error) -> bool {
    use ureq::Error::{BadUri, BodyExceedsLimit, Io, Rustls, StatusCode, Tls};
    match error {
        StatusCode(status) => *status < 500,
        // What rustls does not take of a server comes so.
        Io(error) => error.kind() == ErrorKind::InvalidData,
        BodyExceedsLimit(_) | BadUri(_) | Tls(_) | Rustls(_) => true,
        _ => false,
    }
}

fn get(agent: &ureq::Agent, url: &str) -> Result<Vec<u8>, ureq::Error> {
    let mut response = agent.get(url).call()?;
    response.body_mut().with_config().limit(MAX_BYTES as u64).read_to_vec()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers so many times, each with one of these.
    fn serve(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/host.ks", listener.local_addr().unwrap());
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        url
    }

    fn answer(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }

    #[test]
    fn a_server_that_is_busy_is_asked_again_and_one_that_has_none_is_not() {
        let url = serve(vec![answer("503 Busy", ""), answer("200 OK", "autopart\n")]);
        assert_eq!(text(&url, &mut Log::default()).unwrap(), "autopart\n");
        let url = serve(vec![answer("404 None", "")]);
        let said = text(&url, &mut Log::default()).unwrap_err().to_string();
        assert!(said.ends_with("the server says 404"), "{said}");
    }

    #[test]
    fn what_is_too_long_is_not_read_to_its_end() {
        let url = serve(vec![answer("200 OK", &"#".repeat(MAX_BYTES + 1))]);
        let said = text(&url, &mut Log::default()).unwrap_err().to_string();
        assert!(said.contains("it is too long"), "{said}");
    }
}
