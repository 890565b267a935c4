//! The program: from the command line to a running server, and to an exit code.

use std::process::ExitCode;

use bytes::Bytes;
use helium_journal::TlsFiles;
use helium_journal::endpoint::Endpoint;
use helium_telemetry::{Chain, logging};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::advice;
use crate::options::{Barrier, MetricsAddress, MetricsFlags, Options, ServerFlags, Tuning};
use crate::replica::{self, ReadBarrier};
use crate::server::{AutoCompaction, Config, Server, StartError, Storage};
use crate::tls::{PeerConfig, TlsConfig};

/// Runs a server until a signal ends it: 0 then, 1 if it can't start or go on, 2 for a command line
/// that can't be meant.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    if let Some(flag) = options.refused.given() {
        eprintln!(
            "error: {flag} belongs to kine's t4 driver, which keeps data in S3; \
             kine-shim stores in PostgreSQL, YugabyteDB or SQLite: leave it out"
        );
        return ExitCode::from(2);
    }
    let filter = if options.logging.debug {
        "info,kine_shim=debug"
    } else {
        "info"
    };
    if let Err(error) = logging::start(options.logging.log_format, filter) {
        eprintln!("error: {}", Chain(&error));
        return ExitCode::from(2);
    }
    helium_tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> ExitCode {
    for flag in options.legacy.given() {
        warn!(flag, "this flag of kine has no effect here");
    }
    // Registered before the start: a signal while the database is awaited must end the process.
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        eprintln!("error: signals can't be handled");
        return ExitCode::FAILURE;
    };
    let config = config(options);
    let database = place(&config.storage);
    let started = tokio::select! {
        started = Server::start(config) => started,
        _ = interrupt.recv() => return ExitCode::SUCCESS,
        _ = terminate.recv() => return ExitCode::SUCCESS,
    };
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            report(&error, &database);
            return ExitCode::FAILURE;
        }
    };
    let code = tokio::select! {
        _ = interrupt.recv() => ExitCode::SUCCESS,
        _ = terminate.recv() => ExitCode::SUCCESS,
        () = running.failed() => {
            error!("the replica has stopped");
            ExitCode::FAILURE
        }
    };
    info!("stopping");
    running.shutdown().await;
    code
}

/// Where the data is, without any password.
fn place(storage: &Storage) -> String {
    let parsed = match storage {
        Storage::Endpoint { url, tls, .. } => Endpoint::parse(url, tls).ok(),
        Storage::Journal(_) => None,
    };
    // Whatever can't be parsed may hold a password anywhere.
    parsed.map_or_else(|| "--endpoint".to_owned(), |endpoint| endpoint.to_string())
}

/// One line: where, what, and what to do about it.
fn report(error: &StartError, database: &str) {
    let place = match error {
        StartError::Storage(_) => format!("{database}: "),
        _ => String::new(),
    };
    let advice = advice::on(error).map_or_else(String::new, |advice| format!("; {advice}"));
    eprintln!("error: {place}{}{advice}", Chain(error));
}

fn config(options: Options) -> Config {
    let Options {
        listen_address,
        storage,
        server,
        metrics,
        tuning,
        ..
    } = options;
    let patience = storage.startup_timeout;
    let endpoint = Storage::Endpoint {
        url: storage.endpoint,
        tls: TlsFiles {
            ca_file: storage.ca_file,
            cert_file: storage.cert_file,
            key_file: storage.key_file,
        },
        log_id: storage.log_id,
        patience,
    };
    let MetricsFlags {
        metrics_bind_address,
        metrics_ignore_tls_config,
    } = metrics;
    let ServerFlags {
        name,
        advertise_client_urls,
        server_cert_file,
        server_key_file,
        trusted_ca_file,
        members_prefix,
        incarnation_key,
        peer_cert_file,
        peer_key_file,
        peer_ca_file,
        emulated_etcd_version,
        watch_progress_notify_interval,
        max_request_bytes,
        grpc_keepalive_interval,
        grpc_keepalive_timeout,
    } = server;
    let tls = server_cert_file
        .zip(server_key_file)
        .map(|(certificate, key)| TlsConfig {
            client_ca: trusted_ca_file,
            members_prefix,
            peer: PeerConfig {
                certificate: peer_cert_file,
                key: peer_key_file,
                ca: peer_ca_file,
            },
            ..TlsConfig::new(certificate, key)
        });
    // A URL without a path is written with a slash, which clients of etcd don't expect.
    let urls = advertise_client_urls.iter();
    let advertise_client_urls = urls
        .map(|url| url.as_str().trim_end_matches('/').to_owned())
        .collect();
    Config {
        tls,
        metrics_address: match metrics_bind_address {
            MetricsAddress::Off => None,
            MetricsAddress::At(address) => Some(address),
        },
        metrics_tls: !metrics_ignore_tls_config,
        advertise_client_urls,
        version: emulated_etcd_version,
        max_request_bytes,
        watch_progress_interval: watch_progress_notify_interval,
        keepalive_interval: grpc_keepalive_interval,
        keepalive_timeout: grpc_keepalive_timeout,
        slow_statement: storage.slow_sql_threshold,
        slow_statement_warning: storage.slow_sql_warning_threshold,
        auto_compaction: (!tuning.compact_interval.is_zero()).then_some(AutoCompaction {
            interval: tuning.compact_interval,
            jitter: tuning.compact_interval_jitter,
            retain: tuning.compact_min_retain,
        }),
        replica: replica::Options {
            incarnation_key: incarnation_key.map(Bytes::from),
            ..replica_options(name, &tuning)
        },
        ..Config::new(endpoint, listen_address)
    }
}

fn replica_options(name: String, tuning: &Tuning) -> replica::Options {
    let defaults = replica::Options::default();
    replica::Options {
        name: if name.is_empty() { defaults.name } else { name },
        read_barrier: match tuning.read_barrier {
            Barrier::Query => ReadBarrier::Query,
            Barrier::Append => ReadBarrier::Append,
        },
        poll_min: tuning.poll_interval_min,
        poll_max: tuning.poll_interval_max.max(tuning.poll_interval_min),
        request_timeout: tuning.request_timeout,
        expiry_interval: tuning.lease_expiry_interval,
        owner_timeout: tuning.lease_owner_timeout,
        peers: !tuning.no_peers,
        ..defaults
    }
}
