//! What is done otherwise on YugabyteDB, tried on a PostgreSQL, which takes the same statements.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use helium_testkit::Postgres;

use super::connect::Dialect;
use super::link::Link;
use super::{PostgresJournal, PostgresParameters, entries};
use crate::conformance::{self, Database};
use crate::{Journal, LogId, Options, TlsFiles};

#[test]
fn a_server_says_whose_it_is() {
    for version in ["15.12-YB-2025.2.3.0-b0", "11.2-YB-2.20.1.0-b97"] {
        assert_eq!(Dialect::of(version), Dialect::Yugabyte, "{version}");
    }
    for version in ["15.18 (Debian 15.18-0+deb12u1)", "18.1", ""] {
        assert_eq!(Dialect::of(version), Dialect::Postgres, "{version}");
    }
}

/// A journal that appends as it would on YugabyteDB, on a PostgreSQL.
struct AsOnYugabyte(Postgres);

#[async_trait]
impl Database for AsOnYugabyte {
    async fn open(&self, log_id: LogId) -> Arc<dyn Journal> {
        let url = self.0.url("laws");
        let parameters =
            PostgresParameters::parse(&url["postgres://".len()..], &TlsFiles::default());
        let options = Options {
            log_id,
            ..Options::default()
        };
        let mut journal = PostgresJournal::open(&parameters.unwrap(), &options)
            .await
            .unwrap();
        journal.append = Link::new(journal.connector.clone(), |_| {
            entries::append_statements(Dialect::Yugabyte)
        });
        Arc::new(journal)
    }

    async fn entries_lose(&self, log_id: LogId, slots: RangeInclusive<i64>) {
        let (log, first, last) = (log_id.0, slots.start(), slots.end());
        let statement =
            format!("DELETE FROM journal WHERE log_id = {log} AND slot BETWEEN {first} AND {last}");
        self.0.sql("laws", &statement).await;
    }

    fn leaves_orphans(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_appends_of_yugabyte_keep_the_laws() {
    conformance::run(&AsOnYugabyte(Postgres::start().await)).await;
}
