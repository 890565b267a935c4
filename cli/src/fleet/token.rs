//! `helium token`: what a member gives to a cluster that is to join.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helium_tls::{PinnedTls, PublicKeyHash, certificates_from_pem};
use jiff::Timestamp;
use rand::Rng as _;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::join_file::JoinFile;
use super::{api, database};
use crate::connection::{Connection, key_hashes};
use crate::error::{Error, Result};
use crate::files;
use crate::options::{
    OutputFormat, TOKEN_ID_CHARACTERS, TOKEN_SECRET_CHARACTERS, Token, TokenCommand,
    TokenCreateOptions, TokenDeleteOptions, TokenListOptions,
};
use crate::table;
use crate::wire::{self, Target};

/// How long the server may take to show its certificate.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// Characters of both halves.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Makes, shows or deletes tokens.
pub(crate) async fn run(command: TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Create(options) => create(options).await,
        TokenCommand::List(options) => list(options).await,
        TokenCommand::Delete(options) => delete(options).await,
    }
}

async fn create(options: TokenCreateOptions) -> Result<()> {
    let TokenCreateOptions {
        cluster,
        ttl,
        server,
        ca_file,
        database_url,
        join_file,
        output,
        access,
    } = options;
    if database_url.is_some() && join_file.is_none() && output == OutputFormat::Text {
        return Err(Error::DatabaseNeedsFile);
    }
    let connection = Connection::open(&access).await?;
    let members = api::members(&connection).await?;
    let taken = members
        .iter()
        .find(|member| member.name == cluster.as_str());
    if taken.is_some() {
        return Err(Error::Taken {
            cluster: cluster.to_string(),
        });
    }
    let server = match server {
        Some(server) => server,
        None => published(&connection, &members).await?,
    };
    let authority = match ca_file {
        Some(path) => {
            std::fs::read_to_string(&path).map_err(|source| Error::DataDir { path, source })?
        }
        None => registered_authority(&connection).await?,
    };
    let hashes = hashes(&server, &authority).await?;
    // The role first: a token that nobody was told of opens a door for nothing.
    let database_endpoint = match &database_url {
        Some(url) => Some(database::admit(url, cluster.as_str()).await?),
        None => None,
    };
    let token = random();
    let expires = Timestamp::now() + ttl;
    let object = json!({
        "apiVersion": "helium.dev/v1", "kind": "JoinToken", "metadata": {"name": token.id()},
        "spec": {
            "cluster": cluster.as_str(), "secretHash": hash(token.secret()),
            "expirationTime": format!("{expires:.0}"),
        },
    });
    api::token_create(&connection, &object).await?;
    let file = JoinFile {
        cluster: cluster.to_string(),
        server: server.to_string().trim_end_matches('/').to_owned(),
        token: token.reveal(),
        expires,
        ca_hashes: hashes.iter().map(PublicKeyHash::to_string).collect(),
        certificate_authority: authority,
        database_endpoint,
    };
    // Texts only: it can't fail to serialise.
    let document = serde_json::to_string(&file).unwrap_or_default() + "\n";
    if let Some(path) = &join_file {
        files::write_secret(path, &document)?;
    }
    match (output, &join_file) {
        (OutputFormat::Json, None) => table::print(&document),
        (OutputFormat::Json, Some(path)) => {
            let told = json!({"id": token.id(), "cluster": cluster.as_str(), "expires": expires, "joinFile": path});
            table::print(&format!("{told}\n"));
        }
        (OutputFormat::Text, Some(path)) => table::print(&format!(
            "Token {} lets {cluster} join once, until {expires:.0}. Take {path} there by a safe way, and:\n\n  \
             helium join --join-file {path} --dir ./{cluster}\n",
            token.id(),
            path = path.display(),
        )),
        (OutputFormat::Text, None) => {
            table::print(&format!("{}\n", file.command()));
            eprintln!("good once, until {expires:.0}; it holds a secret");
        }
    }
    Ok(())
}

async fn list(options: TokenListOptions) -> Result<()> {
    let TokenListOptions { output, access } = options;
    let connection = Connection::open(&access).await?;
    let now = Timestamp::now();
    let tokens = api::tokens(&connection).await?;
    let mut rows: Vec<Row> = tokens.iter().map(|token| Row::read(token, now)).collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    match output {
        // Texts only: it can't fail to serialise.
        OutputFormat::Json => {
            table::print(&(serde_json::to_string(&rows).unwrap_or_default() + "\n"));
        }
        OutputFormat::Text if rows.is_empty() => eprintln!("no tokens"),
        OutputFormat::Text => {
            let cells = rows.into_iter().map(|row| {
                let expires = row.expires.map(|time| format!("{time:.0}"));
                [
                    row.id,
                    row.cluster,
                    row.state.to_owned(),
                    expires.unwrap_or_default(),
                ]
            });
            table::print(&table::render(["ID", "CLUSTER", "STATE", "EXPIRES"], cells));
        }
    }
    Ok(())
}

async fn delete(options: TokenDeleteOptions) -> Result<()> {
    let TokenDeleteOptions { id, access } = options;
    // Somebody may paste the whole token.
    let id = id.split('.').next().unwrap_or_default().to_owned();
    let connection = Connection::open(&access).await?;
    let told = if api::token_delete(&connection, &id).await? {
        format!("token {id} opens nothing any more\n")
    } else {
        format!("there is no token {id}\n")
    };
    table::print(&told);
    Ok(())
}

/// A token in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    cluster: String,
    state: &'static str,
    expires: Option<Timestamp>,
    used: Option<Timestamp>,
}

impl Row {
    fn read(token: &Value, now: Timestamp) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let expires = token["spec"]["expirationTime"]
            .as_str()
            .and_then(|time| time.parse().ok());
        let used = token["status"]["usedTime"]
            .as_str()
            .and_then(|time| time.parse().ok());
        Self {
            id: text(&token["metadata"]["name"]),
            cluster: text(&token["spec"]["cluster"]),
            state: match (used, expires) {
                (Some(_), _) => "used",
                (None, Some(expires)) if expires <= now => "expired",
                (None, _) => "good",
            },
            expires,
            used,
        }
    }
}

/// The endpoint that this cluster's Member has published for others.
async fn published(connection: &Connection, members: &[api::Member]) -> Result<Url> {
    let own = api::own_name(connection).await?;
    let me = members.iter().find(|member| member.name == own);
    let url = me.and_then(|me| me.endpoint("direct"));
    url.and_then(|url| Url::parse(url).ok())
        .ok_or(Error::NoServer { cluster: own })
}

/// The authority by which the cluster trusts its helium-apiserver; without an APIService (`helium up`), the one by which the
/// kubeconfig trusts the server.
async fn registered_authority(connection: &Connection) -> Result<String> {
    let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.helium.dev";
    let service = api::found(connection.get(path).await)
        .map_err(api::refused("reading APIService v1.helium.dev"))?;
    let bundle = service.and_then(|service| {
        let text = service.json()["spec"]["caBundle"].as_str()?.to_owned();
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    });
    if let Some(bundle) = bundle {
        return Ok(bundle);
    }
    let pem = |der: &Vec<u8>| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap_or_default())
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    };
    let authorities: String = connection.authorities().iter().map(pem).collect();
    if authorities.is_empty() {
        return Err(Error::NoAuthority);
    }
    Ok(authorities)
}

/// What a joining cluster will know the server by: the authorities that it shows, or its own key if it shows none.
async fn hashes(server: &Url, authority: &str) -> Result<Vec<PublicKeyHash>> {
    let authorities = certificates_from_pem(authority.as_bytes(), "the server's authority")?;
    let der: Vec<Vec<u8>> = authorities.iter().map(|one| one.to_vec()).collect();
    let known = key_hashes(&der);
    let unreachable = |reason: String| Error::Unreachable {
        server: server.to_string(),
        reason,
    };
    let target = Target::of(server).ok_or_else(|| unreachable("it names no host".to_owned()))?;
    let tls = PinnedTls::new(Vec::new(), authorities)?;
    let refused = wire::handshake(&target, &tls, REACHED_WITHIN).await.err();
    let shown = tls.shown();
    match (refused, shown.first()) {
        (None, Some(leaf)) => {
            let shown: Vec<PublicKeyHash> = shown
                .iter()
                .map(|certificate| certificate.key_hash.clone())
                .filter(|hash| known.contains(hash))
                .collect();
            Ok(if shown.is_empty() {
                vec![leaf.key_hash.clone()]
            } else {
                shown
            })
        }
        (Some(reason), Some(_)) => Err(Error::WrongServer {
            server: server.to_string(),
            reason,
            shown: shown.iter().map(|one| one.key_hash.to_string()).collect(),
        }),
        (Some(reason), None) => Err(unreachable(reason)),
        (None, None) => Ok(known),
    }
}

fn random() -> Token {
    let mut rng = rand::rng();
    let mut text = |length: usize| -> String {
        (0..length)
            .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
            .collect()
    };
    Token::new(text(TOKEN_ID_CHARACTERS), text(TOKEN_SECRET_CHARACTERS))
}

/// A secret as it is stored.
fn hash(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_well_formed_and_differ() {
        let (one, other) = (random(), random());
        assert_eq!(one.reveal().parse(), Ok(one.clone()));
        assert_ne!(one, other);
    }

    #[test]
    fn secrets_are_stored_as_the_contract_says() {
        assert_eq!(
            hash("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_token_is_good_until_it_is_used_or_over() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        let state = |expires: &str, used: Value| {
            let token = json!({"metadata": {"name": "abc123"},
                "spec": {"cluster": "c", "expirationTime": expires}, "status": {"usedTime": used}});
            Row::read(&token, now).state
        };
        assert_eq!(state("2026-01-01T12:15:00Z", Value::Null), "good");
        assert_eq!(state("2026-01-01T11:59:00Z", Value::Null), "expired");
        assert_eq!(
            state("2026-01-01T12:15:00Z", "2026-01-01T11:00:00Z".into()),
            "used"
        );
    }
}
