//! Connections between their requests, each with the ureq agent that it is lent to.

use alloc::{sync::Arc, vec::Vec};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Agent, Error};

use super::connect::ConnectOptions;
use super::connection::{Connection, Limits};
use super::head::MAX_HEAD;
use crate::transport_error::TransportError;
use crate::wire;

/// The most idle connections: enough for one per thread of a large program.
const MAX_IDLE: usize = 32;

/// Opens connections, and keeps them from one request to the next.
pub(super) struct Pool {
    pub(super) options: ConnectOptions,
    idle: Mutex<Vec<PooledAgent>>,
}

/// An agent that has one connection, which is in the slot whenever ureq does not use it.
pub(super) struct PooledAgent {
    pub(super) agent: Agent,
    pub(super) slot: Slot,
    uri: Uri,
    last_use: Instant,
}

type Slot = Arc<Mutex<Option<Connection>>>;

impl Pool {
    pub(super) fn new(options: ConnectOptions) -> Self {
        Self { options, idle: Mutex::default() }
    }

    /// An agent with a connection to the server of this URL: the one that was used last, which is the most likely to be
    /// open, or a new one.
    pub(super) fn connect(&self, uri: &Uri, limits: Limits) -> Result<PooledAgent, TransportError> {
        while let Some(idle) = self.take_idle(uri) {
            if lock(&idle.slot).as_mut().is_some_and(|connection| connection.begin(limits)) {
                return Ok(idle);
            }
        }
        let stream = self.options.open(uri, limits)?;
        let slot = Arc::new(Mutex::new(Some(Connection::new(stream, limits))));
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(&self.options.settings.user_agent)
            .accept(wire::CONTENT_TYPE)
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEAD)
            .max_idle_connections(0)
            .build();
        let agent = Agent::with_parts(config, SlotConnector(slot.clone()), NoLookup);
        Ok(PooledAgent { agent, slot, uri: uri.clone(), last_use: Instant::now() })
    }

    fn take_idle(&self, uri: &Uri) -> Option<PooledAgent> {
        let mut idle = lock(&self.idle);
        idle.retain(|agent| agent.last_use.elapsed() <= self.options.settings.keep_alive);
        let is_same_origin = |to: &Uri| to.scheme() == uri.scheme() && to.authority() == uri.authority();
        let last = idle.iter().rposition(|agent| is_same_origin(&agent.uri))?;
        Some(idle.remove(last))
    }

    /// Keeps the connection for the next request, if it is fit for one.
    pub(super) fn put_back(&self, mut agent: PooledAgent, mut connection: Connection) {
        if connection.reset() && !self.options.settings.keep_alive.is_zero() {
            *lock(&agent.slot) = Some(connection);
            agent.last_use = Instant::now();
            let mut idle = lock(&self.idle);
            if idle.len() < MAX_IDLE {
                idle.push(agent);
            }
        }
    }
}

/// Ignores poisoning: nothing under these locks leaves anything half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives ureq the connection in the slot instead of opening one.
#[derive(Debug)]
struct SlotConnector(Slot);

impl Connector for SlotConnector {
    type Out = SlotTransport;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<SlotTransport>, Error> {
        let connection = lock(&self.0).take();
        Ok(Some(SlotTransport { connection, nothing: LazyBuffers::new(1, 1), slot: self.0.clone() }))
    }
}

/// Looks no name up: the connection is there already.
#[derive(Debug)]
struct NoLookup;

impl Resolver for NoLookup {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// A connection in ureq's hands, which goes back into the slot when ureq drops it.
#[derive(Debug)]
struct SlotTransport {
    connection: Option<Connection>,
    nothing: LazyBuffers,
    slot: Slot,
}

impl Transport for SlotTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        match &mut self.connection {
            Some(connection) => connection,
            None => &mut self.nothing,
        }
    }

    fn transmit_output(&mut self, len: usize, _: NextTimeout) -> Result<(), Error> {
        self.connection.as_mut().ok_or(Error::ConnectionFailed)?.transmit(len);
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        self.connection.as_mut().ok_or(Error::ConnectionFailed)?.await_input()
    }

    /// ureq asks this only when another request may follow. False, since the pool keeps the connection, and not ureq.
    fn is_open(&mut self) -> bool {
        if let Some(connection) = &mut self.connection {
            connection.is_persistent = true;
        }
        false
    }

    fn is_tls(&self) -> bool {
        // ureq asks only for an https URL, and there `ConnectOptions::open` has added TLS.
        true
    }
}

impl Drop for SlotTransport {
    fn drop(&mut self) {
        *lock(&self.slot) = self.connection.take();
    }
}
