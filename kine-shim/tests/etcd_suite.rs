//! The etcd contract, on every backend of kine-shim.

#[allow(dead_code, reason = "each test file uses its part of the suite")]
#[path = "suite/suite.rs"]
mod suite;

use suite::target::Target;

macro_rules! memory_tests {
    ($($module:ident :: $case:ident,)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let target = Target::memory().await;
                suite::$module::$case(&target).await;
                target.stop().await;
            })*
        }
    };
}

macro_rules! sqlite_tests {
    ($($module:ident :: $case:ident,)*) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let target = Target::sqlite().await;
                suite::$module::$case(&target).await;
                target.stop().await;
            })*
        }
    };
}

macro_rules! postgres_cases {
    ($($module:ident :: $case:ident,)*) => {
        /// One database for all cases, a log for each.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn postgres() {
            let postgres = helium_testkit::Postgres::start().await;
            let url = postgres.url("suite");
            let mut log = 0;
            $({
                log += 1;
                let target = Target::log(&url, log).await;
                println!("postgres: {}", stringify!($case));
                suite::$module::$case(&target).await;
                target.stop().await;
            })*
        }
    };
}

every_case!(memory_tests);
every_case!(sqlite_tests);
every_case!(postgres_cases);
