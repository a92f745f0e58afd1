//! A server's side of a session, as far as both servers of ours are alike: it comes up in time, or
//! the client hears why it does not.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of a refused client that are read and thrown away, and how long that may take.
const LET_GO: (u64, Duration) = (64 << 10, Duration::from_secs(2));

/// Takes a client, or refuses it so that it can read why.
///
/// # Errors
/// It is none whom this lets in, it speaks no TLS, or it takes longer than ten seconds.
pub async fn accept<S>(tls: &TlsAcceptor, stream: S) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(HANDSHAKE, tls.accept(stream).into_fallible()).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err((error, stream))) => {
            let_go(stream).await;
            Err(error)
        }
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")),
    }
}

/// Closes a connection that was refused so that the other end can read why. A socket that is closed
/// with something unread in it resets the connection, and what was sent on it is lost, as the alert
/// that a certificate has expired: a client sends its request without waiting for a word.
async fn let_go(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let ends = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LET_GO.0), &mut tokio::io::sink()).await
    };
    let _ = timeout(LET_GO.1, ends).await;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A client on a socket of its own, which has sent this before it was refused.
    async fn refused(sent: &[u8]) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        client.write_all(sent).await.unwrap();
        stream.readable().await.unwrap();
        stream.write_all(b"why").await.unwrap();
        tokio::spawn(let_go(stream));
        client
    }

    #[tokio::test]
    async fn a_client_that_is_refused_can_read_why_whatever_it_sent_meanwhile() {
        let mut client = refused(&[0; 4096]).await;
        // Late enough for a connection that was reset to be one.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.write_all(&[0; 4096]).await.unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"why");
    }

    #[tokio::test]
    async fn a_client_that_is_refused_and_stays_is_let_go() {
        let mut client = refused(b"x").await;
        let begun = Instant::now();
        while client.write_all(b"x").await.is_ok() {
            assert!(begun.elapsed() < 10 * LET_GO.1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(begun.elapsed() >= LET_GO.1 / 2, "{:?}", begun.elapsed());
    }
}
