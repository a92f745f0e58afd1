//! `basalt-endpoint` itself: starts, tells systemd, serves until it is asked to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use basalt_durable::PUBLIC;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::pace::Pace;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::app::{App, Shared};
use crate::ca::Ca;
use crate::data::Data;
use crate::logs::LogRequests;
use crate::metrics::Metrics;
use crate::names::{self, EndpointUrl};
use crate::operator_token::OperatorToken;
use crate::presence::Presence;
use crate::store::{Store, hosts, rollouts};
use crate::tls::Tls;
use crate::vault::Vault;
use crate::{backup, clock, files_limit, patrol, restore, routes, server};

/// How an endpoint is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder.
    pub data: Data,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The URLs that hosts are told.
    pub advertise: Vec<EndpointUrl>,
    /// How long a host's certificate is good.
    pub certificate_life: Seconds,
    /// How long a new CA is good.
    pub ca_life: Seconds,
    /// Connections at once.
    pub max_connections: usize,
    /// How fast it finds out who is silent.
    pub pace: Pace,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Another endpoint has the folder, the address is taken, or a file makes no sense.
pub fn run(options: &Options) -> Result<()> {
    files_limit::raise(options.max_connections);
    let _lock = options.data.lock()?;
    restore::finish(&options.data)?;
    backup::sweep(&options.data)?;
    options.data.check_whole()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> Result<()> {
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", options.listen))?;
    let listening = listener.local_addr()?;
    let app = open(options, listening).await?;
    let names = names::certified(&app.urls, listening);
    let tls = Arc::new(Tls::new(&app.ca, names, clock::now())?);
    let patrol = tokio::spawn(patrol::run(Arc::clone(&app), Arc::clone(&tls)));
    let router = routes::router(&app);
    let server = tokio::spawn(server::serve(Arc::clone(&app), listener, tls, router));
    announce(options, &app, listening)?;
    wait(&mut signals).await;
    tracing::info!("stopping");
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    app.stopping.send_replace(true);
    server.await.context("the server panicked")?;
    patrol.await.context("the rounds panicked")?;
    app.store.close().await;
    Ok(())
}

async fn open(options: &Options, listening: SocketAddr) -> Result<Shared> {
    let (data, now) = (&options.data, clock::now());
    let vault = Arc::new(Vault::open(data)?);
    let store = Store::open(&data.database(), &vault).await?;
    let mut write = store.write().await?;
    rollouts::begin_anew(&mut write, now).await?;
    write.commit().await?;
    let all = hosts::all(&mut store.read().await?).await?;
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Arc::new(App {
        ca: Ca::open(data, options.ca_life, now)?,
        vault,
        operator: OperatorToken::open(data)?,
        presence: Presence::new(&all, clock::up(), options.pace),
        logs: LogRequests::default(),
        metrics: Metrics::default(),
        urls: names::advertised(&options.advertise, listening, &machine),
        certificate_life: options.certificate_life,
        max_connections: options.max_connections,
        news: watch::channel(()).0,
        stopping: watch::channel(false).0,
        store,
    }))
}

fn announce(options: &Options, app: &App, listening: SocketAddr) -> Result<()> {
    let url = EndpointUrl::of(listening);
    basalt_durable::write(&options.data.url(), format!("{url}\n").as_bytes(), PUBLIC)
        .context("cannot write down where it listens")?;
    let advertised: Vec<String> = app.urls.iter().map(ToString::to_string).collect();
    tracing::info!(
        %url,
        advertised = advertised.join(" "),
        ca_fingerprint = app.ca.fingerprint(),
        "ready"
    );
    if let Err(error) = sd_notify::notify(false, &[NotifyState::Ready]) {
        tracing::warn!(%error, "cannot tell systemd that all is well");
    }
    Ok(())
}

async fn wait((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        // Cancel-safe: a signal that was not taken stays pending.
        _ = terminate.recv() => (),
        // Cancel-safe, as above.
        _ = interrupt.recv() => (),
    }
}
