//! `helium join`: a cluster becomes a member.
//!
//! Files first, then one request, then what was answered. Whatever ends it in between, it is run again with the same
//! arguments: the files are there, and a server that has let this very cluster in answers so again.

use helium_tls::PinnedTls;
use http::{Request, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::clock;
use super::folder::{ENDPOINT, Folder};
use super::join_file::{Invitation, JoinFile};
use crate::connection::{Answer, Clock, Refusal};
use crate::error::{Error, JoinRefusal, Result};
use crate::options::JoinOptions;
use crate::table;
use crate::wire::{self, Target};

/// The authorities of all members, when this one joined.
const TRUST: &str = "trust.pem";

/// Joins, and says what to do next.
pub(crate) async fn run(options: JoinOptions) -> Result<()> {
    let JoinOptions {
        cluster_name,
        dir,
        join_file,
        server,
        token,
        ca_hash,
        names,
    } = options;
    let invitation = match (join_file, cluster_name, server, token) {
        (Some(path), wanted, ..) => {
            let invitation = JoinFile::read(&path)?;
            if let Some(wanted) = wanted
                && wanted != invitation.cluster
            {
                return Err(Error::JoinFile {
                    path,
                    reason: format!("it is for {}, not for {wanted}", invitation.cluster),
                });
            }
            invitation
        }
        (None, Some(cluster), Some(server), Some(token)) => Invitation {
            cluster,
            server,
            token,
            ca_hashes: ca_hash,
            authorities: Vec::new(),
            database_endpoint: None,
        },
        // The arguments' own rules leave no other way.
        (None, ..) => return Err(Error::NothingToJoin),
    };
    let cluster = invitation.cluster.as_str().to_owned();
    let folder = Folder::open(&dir, &cluster)?;
    if let Some(endpoint) = &invitation.database_endpoint {
        folder.write(ENDPOINT, endpoint)?;
    }
    let prepared = folder.prepare(&names)?;
    let answer = ask(&invitation, &prepared.authorities).await?;
    let (trust, clusters) = read(&answer, &invitation)?;
    folder.write(TRUST, &trust)?;
    let mut text = format!(
        "{cluster} is a member of the fleet ({})\n\nNext, in cluster {cluster}:\n\n  kubectl apply -f {}\n",
        clusters.join(", "),
        folder.file("objects.yaml").display(),
    );
    if invitation.database_endpoint.is_none() {
        text += "  kubectl create secret generic helium-database -n helium-system --from-file=endpoint=…\n";
    }
    text += "  kubectl apply -k …          # docs/install.md\n";
    table::print(&text);
    Ok(())
}

/// Makes sure who the server is and what its clock says, and asks it.
async fn ask(invitation: &Invitation, authorities: &str) -> Result<Value> {
    let server = invitation.server.as_str().trim_end_matches('/');
    let unreachable = |reason: String| Error::Unreachable {
        server: server.to_owned(),
        reason,
    };
    let target =
        Target::of(&invitation.server).ok_or_else(|| unreachable("it names no host".to_owned()))?;
    let tls = PinnedTls::new(invitation.ca_hashes.clone(), invitation.authorities.clone())?;
    let failed = |refusal: Refusal| match refusal {
        Refusal::Unreachable(reason) if tls.shown().is_empty() => unreachable(reason),
        Refusal::Unreachable(reason) => Error::WrongServer {
            server: server.to_owned(),
            reason,
            shown: tls
                .shown()
                .iter()
                .map(|one| one.key_hash.to_string())
                .collect(),
        },
        refusal @ Refusal::Status { .. } => Error::NotHelium {
            server: server.to_owned(),
            reason: refusal.to_string(),
        },
    };
    let hello = match wire::send(&target, &tls, Request::get("/livez"), Vec::new()).await {
        Ok(answer) => answer.clock,
        // Whatever it says of its health, it said when.
        Err(Refusal::Status { clock, .. }) => clock,
        Err(refusal) => return Err(failed(refusal)),
    };
    let clock = hello.ok_or_else(|| Error::NotHelium {
        server: server.to_owned(),
        reason: "its answers carry no date".to_owned(),
    })?;
    clock::compare(server, clock)?;
    valid_now(server, &tls, clock)?;

    let body = json!({
        "token": invitation.token.reveal(), "cluster": invitation.cluster.as_str(),
        "certificateAuthorities": authorities,
    });
    let request = Request::post("/join")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json");
    match wire::send(&target, &tls, request, body.to_string().into_bytes()).await {
        Ok(answer) => Ok(parse(server, &answer)?),
        Err(refusal @ Refusal::Unreachable(_)) => Err(unreachable(format!(
            "{refusal} (whether {} has joined isn't known: run this again)",
            invitation.cluster
        ))),
        Err(refusal) => Err(refused(server, invitation, &refusal)),
    }
}

/// The clocks agree; a certificate that isn't valid now is not valid.
fn valid_now(server: &str, tls: &PinnedTls, clock: Clock) -> Result<()> {
    tls.check_validity(clock.ours.as_second())
        .map_err(|(from, until)| Error::WrongServer {
            server: server.to_owned(),
            reason: format!(
                "its certificate is valid from {} to {}, and it is {:.0}",
                Timestamp::from_second(from).unwrap_or(Timestamp::MIN),
                Timestamp::from_second(until).unwrap_or(Timestamp::MAX),
                clock.ours
            ),
            shown: tls
                .shown()
                .iter()
                .map(|one| one.key_hash.to_string())
                .collect(),
        })
}

fn parse(server: &str, answer: &Answer) -> Result<Value> {
    let value = answer.json();
    if value["trust"].is_array() && value["member"].is_object() {
        return Ok(value);
    }
    Err(Error::NotHelium {
        server: server.to_owned(),
        reason: "it answers, but not with a member".to_owned(),
    })
}

/// Which of the known refusals it is.
fn refused(server: &str, invitation: &Invitation, refusal: &Refusal) -> Error {
    let Refusal::Status {
        code,
        message,
        reason,
        ..
    } = refusal
    else {
        return Error::Unreachable {
            server: server.to_owned(),
            reason: refusal.to_string(),
        };
    };
    let kind = match code {
        401 if message.contains("token") => JoinRefusal::WrongToken,
        403 if message.contains("token expired") => JoinRefusal::Expired,
        403 if message.contains("token was used") => JoinRefusal::Used,
        403 if message.contains("token is for") => JoinRefusal::OtherCluster,
        409 if message.contains("helium init") => JoinRefusal::Open,
        409 => JoinRefusal::Taken,
        400 | 413 | 422 if !reason.is_empty() => JoinRefusal::Invalid,
        // The member that was asked is shut out itself.
        403 if message.contains("revoked") || message.contains("member of the fleet") => {
            JoinRefusal::Unavailable
        }
        429 | 500 | 503 | 504 if !reason.is_empty() => JoinRefusal::Unavailable,
        _ => {
            return Error::NotHelium {
                server: server.to_owned(),
                reason: refusal.to_string(),
            };
        }
    };
    Error::JoinRefused {
        kind,
        cluster: invitation.cluster.to_string(),
        message: message.clone(),
    }
}

/// The members' authorities as one file, and the members' names.
fn read(answer: &Value, invitation: &Invitation) -> Result<(String, Vec<String>)> {
    let mut trust = String::new();
    let entries = answer["trust"].as_array();
    for entry in entries.into_iter().flatten() {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let authorities = text("certificateAuthorities").trim();
        if !authorities.is_empty() {
            trust += &format!("# {}\n{authorities}\n", text("cluster"));
        }
    }
    if trust.is_empty() {
        return Err(Error::NotHelium {
            server: invitation.server.to_string(),
            reason: "it told no member's authority".to_owned(),
        });
    }
    let clusters = answer["clusters"].as_array();
    let clusters = clusters
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned));
    Ok((trust, clusters.collect()))
}
