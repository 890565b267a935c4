//! An instance in this process.

use std::sync::Arc;

use helium_journal::faulty::{Control, Faulty};
use helium_journal::{TlsFiles, endpoint};
use kine_shim::{Config, ListenAddress, Running, Server, Storage, replica};

use super::client::Client;

/// A server on a database that it may share with others.
pub(crate) struct Instance {
    running: Running,
    pub(crate) client: Client,
    /// Orders faults of its journal.
    pub(crate) faults: Control,
}

impl Instance {
    /// Starts one whose journal makes the faults that `seed` decides, once it is told how often.
    pub(crate) async fn start(name: &str, database: &str, seed: u64) -> Self {
        let options = helium_journal::Options::default();
        let journal = endpoint::open(database, &TlsFiles::default(), &options).await;
        let journal = Faulty::new(journal.expect("the database opens"), seed);
        let faults = journal.control();
        let address = ListenAddress::Tcp("127.0.0.1:0".to_owned());
        let config = Config {
            replica: replica::Options {
                name: name.to_owned(),
                ..replica::Options::default()
            },
            ..Config::new(Storage::Journal(Arc::new(journal)), address)
        };
        let running = Server::start(config).await.expect("the server starts");
        Self {
            client: Client::connect(running.url()).await,
            running,
            faults,
        }
    }

    pub(crate) async fn stop(self) {
        self.running.shutdown().await;
    }
}
