//! The connections to the endpoint. One polls; where a poll carries news, another one may still be
//! held that carried none: the endpoint answers it with a word, and its connection serves again.

use basalt_api::checkin::CHECKIN_PATH;
use basalt_https::{Answer, Client, HttpsError, Limits};
use bytes::Bytes;
use hyper::Method;
use tokio::task::JoinHandle;

/// Connections that are kept.
#[derive(Default)]
pub(super) struct Lines {
    /// Two at most: no more than one poll is left at a time.
    free: Vec<Client>,
    left: Option<Poll>,
}

/// A poll that was sent. It ends when this is dropped.
pub(super) struct Poll(JoinHandle<(Client, Result<Answer, HttpsError>)>);

impl Lines {
    /// A connection that is free, if there is one.
    pub(super) async fn take(&mut self) -> Option<Client> {
        if let Some(mut left) = self.left.take_if(|left| left.0.is_finished())
            && let Some((client, Ok(_))) = left.ended().await
        {
            self.free.push(client);
        }
        self.free.pop()
    }

    /// Keeps a connection whose poll was answered.
    pub(super) fn give_back(&mut self, client: Client) {
        self.free.push(client);
    }

    /// Leaves a poll whose answer nobody needs any more; the next one takes its place.
    pub(super) fn leave(&mut self, poll: Poll) {
        self.left = Some(poll);
    }
}

impl Poll {
    /// Sends it.
    pub(super) fn send(mut client: Client, body: Bytes, limits: Limits) -> Self {
        Self(tokio::spawn(async move {
            let answer = client.ask(Method::POST, CHECKIN_PATH, body, limits).await;
            (client, answer)
        }))
    }

    /// Waits until it ended; none where it was cut off. Cancel-safe; once it has ended, it is not
    /// asked again.
    pub(super) async fn ended(&mut self) -> Option<(Client, Result<Answer, HttpsError>)> {
        (&mut self.0).await.ok()
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.0.abort();
    }
}
