//! A connection that went over to another protocol (RFC 9110, 7.8): a session until it closes.

use bytes::Bytes;
use tokio::net::TcpStream;

use super::account::Account;
use super::exchange::Exchange;

#[derive(Debug)]
pub(super) struct Upgrade {
    exchange: Box<Exchange>,
    account: Account,
}

impl Upgrade {
    pub(super) fn new(exchange: Exchange, account: Account) -> Self {
        Self {
            exchange: Box::new(exchange),
            account,
        }
    }

    /// Passes on whatever comes, until both sides are done. `sent`: what the client sent on the
    /// connection already.
    pub(super) async fn run(self, mut client: TcpStream, sent: Bytes) {
        use tokio::io::AsyncWriteExt;
        let (mut server, received) = self.exchange.into_tunnel();
        let _ = server.write_all(&sent).await;
        let _ = client.write_all(&received).await;
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        drop(self.account);
    }
}
