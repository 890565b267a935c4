//! A whole fleet in one process.
//!
//! One kine-shim, and one API server for each cluster, each with an authority of its own. The API
//! servers reach the store as they would anywhere, over the etcd v3 API on a port: what runs here
//! is what runs in production, put together differently.
//!
//! Order: the data directory is locked, certificates are made, the store is started, then the API
//! servers, then kubeconfigs are written, then the report is printed. It stops in reverse order, so
//! that no API server reports a store that is gone. If a part fails, those started before it stop.

mod kubeconfig;
mod pki;
mod report;
mod servers;
mod store;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::files::DataDir;
use crate::options::UpOptions;
use kubeconfig::Context;
use pki::ClusterPki;
pub use report::{ClusterReport, Report};
use servers::ApiServer;
use store::Store;

/// How long an API server may take until it has read its definitions.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A fleet that runs. Call [`Fleet::stop`] to end it cleanly.
#[derive(Debug)]
pub struct Fleet {
    report: Report,
    servers: Vec<ApiServer>,
    store: Store,
    _data: DataDir,
}

/// Runs a fleet until `Ctrl-C` or SIGTERM.
pub(crate) async fn run(options: UpOptions) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    let format = options.output;
    let progress = progress(options.clusters.len());
    let fleet = tokio::select! {
        fleet = start(options, &progress) => fleet,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    progress.finish_and_clear();
    let mut fleet = fleet?;
    let here = std::env::current_dir().unwrap_or_default();
    let text = fleet.report.render(format, &here);
    let mut stdout = std::io::stdout();
    // A reader that went away (a pipe that was closed) is no reason to stop serving.
    let _written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    let ended = tokio::select! {
        part = fleet.stopped_by_itself() => Err(Error::Stopped { part }),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    eprintln!("stopping");
    fleet.stop().await;
    ended
}

/// Starts a fleet and waits until every cluster is ready. `progress` is advanced with each part.
pub async fn start(options: UpOptions, progress: &ProgressBar) -> Result<Fleet> {
    let UpOptions {
        clusters,
        data_dir,
        endpoint,
        bind_address,
        etcd_port,
        port,
        output: _,
    } = options;
    let data = DataDir::open(&data_dir)?;

    progress.set_message("the store");
    let store = Store::start(data.path(), endpoint.as_deref(), bind_address, etcd_port).await?;
    progress.inc(1);

    let mut servers: Vec<ApiServer> = Vec::with_capacity(clusters.len());
    let mut contexts = Vec::with_capacity(clusters.len());
    for (index, cluster) in clusters.iter().enumerate() {
        progress.set_message(format!("the API server of {cluster}"));
        let pki_directory = data.path().join("pki").join(cluster.as_str());
        let pki = ClusterPki::prepare(&pki_directory, cluster, &bind_address.to_string())?;
        let port = match port {
            0 => 0,
            // Refused with the arguments if there isn't one.
            first => u16::try_from(index)
                .ok()
                .and_then(|more| first.checked_add(more))
                .unwrap_or(0),
        };
        let server = match ApiServer::start(cluster, bind_address, port, &pki, store.url()).await {
            Ok(server) => server,
            Err(error) => {
                stop(servers, store).await;
                return Err(error);
            }
        };
        contexts.push(Context::new(cluster, &server.url(), &pki));
        servers.push(server);
        progress.inc(1);
    }
    for server in &servers {
        progress.set_message(format!("{} to be ready", server.cluster()));
        if timeout(READY_WITHIN, server.ready()).await.is_err() {
            let cluster = server.cluster().to_string();
            stop(servers, store).await;
            return Err(Error::NotReady {
                cluster,
                seconds: READY_WITHIN.as_secs(),
            });
        }
    }

    let report = write_kubeconfigs(&data, &store, &servers, &contexts);
    match report {
        Ok(report) => Ok(Fleet {
            report,
            servers,
            store,
            _data: data,
        }),
        Err(error) => {
            stop(servers, store).await;
            Err(error)
        }
    }
}

fn write_kubeconfigs(
    data: &DataDir,
    store: &Store,
    servers: &[ApiServer],
    contexts: &[Context],
) -> Result<Report> {
    let mut clusters = Vec::with_capacity(servers.len());
    for (server, context) in servers.iter().zip(contexts) {
        let path: PathBuf = data.path().join(format!("{}.kubeconfig", server.cluster()));
        kubeconfig::write(&path, &[context])?;
        clusters.push(ClusterReport {
            name: server.cluster().to_string(),
            server: server.url(),
            kubeconfig: path,
        });
    }
    let all = data.path().join("kubeconfig");
    kubeconfig::write(&all, &contexts.iter().collect::<Vec<_>>())?;
    Ok(Report {
        etcd: store.url().to_string().trim_end_matches('/').to_owned(),
        database: store.database().to_owned(),
        kubeconfig: all,
        clusters,
    })
}

impl Fleet {
    /// Where everything is.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Waits until the store ends although nobody asked it to, and names it.
    pub async fn stopped_by_itself(&mut self) -> String {
        self.store.ended().await;
        "the store".to_owned()
    }

    /// Ends the fleet: API servers first, then the store.
    pub async fn stop(self) {
        stop(self.servers, self.store).await;
    }
}

async fn stop(servers: Vec<ApiServer>, store: Store) {
    let mut stopping = tokio::task::JoinSet::new();
    for server in servers {
        stopping.spawn(server.stop());
    }
    stopping.join_all().await;
    store.stop().await;
}

fn progress(clusters: usize) -> ProgressBar {
    let steps = u64::try_from(clusters)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let bar = ProgressBar::new(steps);
    // The template is a constant that is known to be good; without it the default bar shows.
    if let Ok(style) = ProgressStyle::with_template("{spinner} starting {msg} [{pos}/{len}]") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
