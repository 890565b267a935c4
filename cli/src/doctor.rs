//! `helium doctor`: what is wrong with Helium in one cluster, why, and what to do.
//!
//! First everything is asked (`facts`), through the kubeconfig and as its user, then everything is judged (`checks`), by
//! functions over what was found: what they say can be tested without a cluster. Rules:
//!
//! 1. It changes nothing, not even by a dry run; reviews of rights are questions.
//! 2. One cause is one finding. What follows from it isn't told a second time: where no server answers, nobody needs to hear
//!    that its discovery is stale.
//! 3. What couldn't be seen is said (`?`), with the reason. Silence would read as health.
//! 4. Every finding has a name with a section in `docs/doctor.md`.
//!
//! It will not look into the database, and doesn't ask other clusters: what it knows of them is what they have written into the
//! fleet's store.

mod checks;
mod facts;
mod finding;
mod probe;
mod report;

use std::process::ExitCode;

use crate::connection::Connection;
use crate::error::Result;
use crate::options::DoctorOptions;
use crate::table;
use facts::Facts;

/// Examines the cluster and prints what was found. The exit code is 1 if something is wrong.
pub(crate) async fn run(options: DoctorOptions) -> Result<ExitCode> {
    let DoctorOptions {
        access,
        direct,
        server_user,
        output,
    } = options;
    let connection = Connection::open(&access).await?;
    let facts = Facts::gather(&connection, &server_user, direct.as_ref()).await;
    let findings = checks::all(&facts);
    table::print(&report::render(&findings, output));
    Ok(if report::is_healthy(&findings) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
