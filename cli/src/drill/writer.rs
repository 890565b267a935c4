//! What a payload does, done by the drill: while a cluster has one, it counts in a shared object, fenced with the term's token.
//!
//! The object is a Lease that nobody holds, with the count in an annotation. Each write is a compare on what was read, so
//! two acknowledged writes never have one count, unless one was lost; and a count that was acknowledged never comes back.

use std::time::Duration;

use helium_failover::{GroupName, Token};
use http::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::eyes::{Notebook, Token as Seen};
use super::history::Write;
use super::site::{Site, leases_path};
use crate::connection::Refusal;

/// Name of the shared object.
pub(crate) const OBJECT: &str = "helium-drill";
const COUNT: &str = "helium.dev/drill-count";
const FENCE: &str = "helium.dev/fence";
/// Pause between two writes.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// Where the shared object is.
pub(crate) fn path(namespace: &str) -> String {
    format!("{}/{OBJECT}", leases_path(namespace))
}

/// Makes the object anew, so that counting begins at nothing.
///
/// # Errors
/// The cluster refused.
pub(crate) async fn prepare(site: &Site, namespace: &str) -> Result<(), Refusal> {
    site.delete(&path(namespace)).await?;
    let object = json!({
        "apiVersion": "coordination.helium.dev/v1", "kind": "Lease",
        "metadata": {"name": OBJECT, "namespace": namespace, "annotations": {COUNT: "0"}},
    });
    site.write(Method::POST, &leases_path(namespace), &object)
        .await?;
    Ok(())
}

/// To what the object has counted.
pub(crate) fn count(object: &Value) -> Option<u64> {
    let text = object["metadata"]["annotations"][COUNT].as_str()?;
    text.parse().ok()
}

/// Writes as long as the cluster has a payload, until it is cancelled.
pub(crate) async fn run(
    site: Site,
    group: GroupName,
    mut seen: Seen,
    notebook: Notebook,
    cancel: CancellationToken,
) {
    loop {
        let token = *seen.borrow_and_update();
        let next = async {
            match token {
                // One that was sent is waited for: its outcome is part of the history.
                Some(token) => {
                    write(&site, &group, token, &notebook).await;
                    tokio::time::sleep(WRITE_EVERY).await;
                }
                None => {
                    if seen.changed().await.is_err() {
                        cancel.cancelled().await;
                    }
                }
            }
        };
        if token.is_some() {
            next.await;
        } else {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = next => {}
            }
        }
        if cancel.is_cancelled() {
            return;
        }
    }
}

async fn write(site: &Site, group: &GroupName, token: i64, notebook: &Notebook) {
    let path = path(&group.namespace);
    let Ok(mut object) = site.read(&path).await else {
        return; // nothing was written
    };
    let Some(before) = count(&object) else {
        return;
    };
    let count = before + 1;
    object["metadata"]["annotations"][COUNT] = json!(count.to_string());
    object["metadata"]["annotations"][FENCE] = json!(group.fence(Token(token)));
    let sent = notebook.clock.now();
    let answer = site.write(Method::PUT, &path, &object).await;
    let answered = notebook.clock.now();
    let mut history = notebook.open();
    match answer {
        Ok(_written) => history.writes.push(Write {
            cluster: site.cluster.clone(),
            token,
            sent,
            answered,
            count,
        }),
        Err(Refusal::Status {
            code: 409, message, ..
        }) => {
            if message.contains("not held at token") {
                history.unanswered.fenced += 1;
            } else {
                history.unanswered.overtaken += 1;
            }
        }
        Err(_undecided) => history.unanswered.unknown += 1,
    }
}
