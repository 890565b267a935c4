//! The same cases against a real etcd: it judges the cases.

#[allow(dead_code, reason = "each test file uses its part of the suite")]
#[path = "suite/suite.rs"]
mod suite;

use suite::target::Target;

macro_rules! oracle_tests {
    ($($module:ident :: $case:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let target = Target::etcd().await;
            suite::$module::$case(&target).await;
            target.stop().await;
        })*
    };
}

every_case!(oracle_tests);
