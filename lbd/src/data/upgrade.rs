//! A connection that went over to another protocol (RFC 9110, 7.8): a session until it closes.

use bytes::Bytes;

use super::account::Account;
use super::client::Client;
use super::exchange::Exchange;
use super::fault::Fault;
use super::tunnel::{Channel, End, Tunnel};
use crate::state::OneMore;

#[derive(Debug)]
pub(super) struct Upgrade {
    exchange: Exchange,
    account: Box<Account>,
}

impl Upgrade {
    pub(super) fn new(exchange: Exchange, account: Box<Account>) -> Self {
        Self { exchange, account }
    }

    /// Passes on whatever comes, until both sides are done. `sent`: what the client sent on the
    /// connection already.
    pub(super) async fn run(self, client: &Client, channel: Channel, sent: Bytes) {
        let Some(lease) = &self.account.lease else {
            return;
        };
        let Some(far) = self.exchange.into_tunnel() else {
            return;
        };
        let (server, _slot) = (far.channel, far.slot);
        let meter = client.meter(lease.server());
        let tunnel = Tunnel {
            client: &channel,
            server: &server,
            from_client: sent,
            from_server: far.received,
            silence: client.tunnel_silence(&lease.backend().config),
        };
        let tunnels = &lease.server().tally(client.thread.id).tunnels;
        let counted = OneMore::of(tunnels);
        let end = tokio::select! {
            biased;
            () = client.killed() => End::KILLED,
            end = tunnel.relay(&client.thread.tunnels, &meter) => end,
        };
        drop(counted);
        self.account
            .tunnelled(end.termination(), meter.server_bytes());
        drop(self.account);
        end.tell(channel, server).await;
    }

    /// What the server said to go on with is not what it was asked for. The account closes when the
    /// client was told.
    pub(super) fn refuse(self) -> (Fault, Box<Account>) {
        let fault = Fault::BadResponse;
        self.account.response_error();
        self.account.failed(fault);
        (fault, self.account)
    }
}
