//! The fleet's own kinds, through a cluster's kube-apiserver or straight from its helium-apiserver.

use std::future::Future;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::connection::{Answer, Connection, Refusal};
use crate::error::{Error, Result};

/// Where a member's heartbeats are.
const HEARTBEATS: &str = "/apis/coordination.helium.dev/v1/namespaces/helium-system/leases";
/// Where members are.
const MEMBERS: &str = "/apis/helium.dev/v1/members";
/// Where tokens are.
const TOKENS: &str = "/apis/helium.dev/v1/jointokens";
/// What a server writes on every object: its cluster's name.
const ORIGIN: &str = "helium.dev/origin-cluster";
/// For patches of objects without a schema of their own.
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Time between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A member, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The cluster's name.
    pub(super) name: String,
    /// What its servers' certificates are signed by; empty if it hasn't said.
    pub(super) authorities: String,
    /// Whether it is shut out.
    pub(super) revoked: bool,
    /// The object.
    pub(super) object: Value,
}

impl Member {
    fn read(object: Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            name: text(&object["metadata"]["name"]),
            authorities: text(&object["spec"]["certificateAuthorities"]),
            revoked: object["spec"]["revoked"] == true,
            object,
        }
    }

    /// An endpoint that the member has published.
    pub(super) fn endpoint(&self, name: &str) -> Option<&str> {
        let endpoints = self.object["status"]["endpoints"].as_array()?;
        let found = endpoints.iter().find(|endpoint| endpoint["name"] == name)?;
        found["url"].as_str()
    }

    /// The status of a condition; `Unknown` if it isn't there.
    pub(super) fn condition(&self, type_: &str) -> &str {
        let conditions = self.object["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let found = conditions.find(|one| one["type"] == type_);
        found
            .and_then(|found| found["status"].as_str())
            .unwrap_or("Unknown")
    }
}

/// Wraps a refusal, with what was asked for.
pub(super) fn refused(doing: impl Into<String>) -> impl FnOnce(Refusal) -> Error {
    let doing = doing.into();
    move |source| Error::Refused { doing, source }
}

/// All members.
pub(super) async fn members(connection: &Connection) -> Result<Vec<Member>> {
    let answer = connection.get(MEMBERS).await;
    let list = answer.map_err(refused("reading the members"))?.json();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.into_iter().map(Member::read).collect())
}

/// One member, if there is one.
pub(super) async fn member(connection: &Connection, name: &str) -> Result<Option<Member>> {
    found(connection.get(&format!("{MEMBERS}/{name}")).await)
        .map(|answer| answer.map(|answer| Member::read(answer.json())))
        .map_err(refused(format!("reading member {name}")))
}

/// Makes a member.
pub(super) async fn member_create(
    connection: &Connection,
    name: &str,
    authorities: &str,
) -> Result<(), Refusal> {
    let member = json!({
        "apiVersion": "helium.dev/v1", "kind": "Member",
        "metadata": {"name": name}, "spec": {"certificateAuthorities": authorities},
    });
    let answer = connection.write(Method::POST, MEMBERS, "application/json", &member);
    answer.await.map(drop)
}

/// Changes a member's spec, by merge.
pub(super) async fn member_merge(
    connection: &Connection,
    name: &str,
    spec: Value,
) -> Result<Member, Refusal> {
    let path = format!("{MEMBERS}/{name}");
    let patch = json!({"spec": spec});
    let answer = connection.write(Method::PATCH, &path, MERGE_PATCH, &patch);
    answer.await.map(|answer| Member::read(answer.json()))
}

/// Deletes a member; whether there was one. What it has left is settled by the fleet's servers before it is gone.
pub(super) async fn member_delete(connection: &Connection, name: &str) -> Result<bool, Refusal> {
    found(connection.delete(&format!("{MEMBERS}/{name}")).await).map(|answer| answer.is_some())
}

/// When each member last renewed its heartbeat.
pub(super) async fn heartbeats(connection: &Connection) -> Result<Vec<(String, Timestamp)>> {
    let answer = connection.get(HEARTBEATS).await;
    let list = answer.map_err(refused("reading the heartbeats"))?.json();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items
        .iter()
        .filter_map(|lease| {
            let name = lease["metadata"]["name"]
                .as_str()?
                .strip_prefix("member-")?;
            let renewed = lease["spec"]["renewTime"].as_str()?.parse().ok()?;
            Some((name.to_owned(), renewed))
        })
        .collect())
}

/// Makes a token's object.
pub(super) async fn token_create(connection: &Connection, token: &Value) -> Result<Answer> {
    let answer = connection.write(Method::POST, TOKENS, "application/json", token);
    answer.await.map_err(refused("making the token"))
}

/// All tokens' objects.
pub(super) async fn tokens(connection: &Connection) -> Result<Vec<Value>> {
    let answer = connection.get(TOKENS).await;
    let list = answer.map_err(refused("reading the tokens"))?.json();
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Deletes a token; whether there was one.
pub(super) async fn token_delete(connection: &Connection, id: &str) -> Result<bool> {
    let answer = found(connection.delete(&format!("{TOKENS}/{id}")).await);
    answer
        .map(|answer| answer.is_some())
        .map_err(refused("deleting the token"))
}

/// The name of the cluster that is asked: what its server stamps on writes. A dry run of one tells it, and changes nothing.
pub(super) async fn own_name(connection: &Connection) -> Result<String> {
    let expires = Timestamp::now() + jiff::SignedDuration::from_mins(5);
    let probe = json!({
        "apiVersion": "helium.dev/v1", "kind": "JoinToken", "metadata": {"name": "000000"},
        "spec": {
            "cluster": "nobody", "expirationTime": format!("{expires:.0}"),
            "secretHash": format!("sha256:{}", "0".repeat(64)),
        },
    });
    let path = format!("{TOKENS}?dryRun=All");
    let answer = connection
        .write(Method::POST, &path, "application/json", &probe)
        .await
        .map_err(refused("asking the cluster for its name in the fleet"))?;
    match answer.json()["metadata"]["annotations"][ORIGIN].as_str() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(Error::NoName {
            server: connection.server().to_owned(),
        }),
    }
}

/// No object is no error.
pub(super) fn found(answer: Result<Answer, Refusal>) -> Result<Option<Answer>, Refusal> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(refusal) if refusal.code() == Some(404) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Looks again and again until something is seen or the bound is over; the last error counts then.
pub(super) async fn wait_for<T, F, Looked>(bound: Duration, mut look: F) -> Result<Option<T>>
where
    F: FnMut() -> Looked,
    Looked: Future<Output = Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + bound;
    loop {
        let seen = look().await;
        match seen {
            Ok(Some(seen)) => return Ok(Some(seen)),
            Ok(None) | Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(None) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
