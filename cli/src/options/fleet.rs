//! Arguments of what changes a fleet: init, token, join, members, leave, revoke; and of doctor.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use helium_tls::PublicKeyHash;
use jiff::SignedDuration;
use url::Url;

use super::{Cluster, OutputFormat};
use crate::connection::Access;

/// A database URL holds a password: it is never shown.
const DATABASE_ENV: &str = "HELIUM_DATABASE_URL";

/// Arguments of `helium init`.
#[derive(Debug, Clone, Args)]
pub struct InitOptions {
    /// The cluster's name in the fleet: a lower-case DNS label that no other cluster has.
    #[arg(long)]
    pub cluster_name: Cluster,
    /// Where the cluster's authorities, certificates and objects.yaml are kept. Keep it safe: its keys make certificates.
    #[arg(long)]
    pub dir: PathBuf,
    /// Only make the files; don't make the cluster a member. For before its servers run.
    #[arg(long)]
    pub files_only: bool,
    /// URL of the database as its administrator: a role for the cluster is made there, and its URL is put into the folder
    /// (file endpoint, and Secret helium-database). Better in the environment than as an argument.
    #[arg(long, env = DATABASE_ENV, hide_env_values = true)]
    pub database_url: Option<String>,
    /// More names for its certificates.
    #[command(flatten)]
    pub names: Names,
    /// Which cluster.
    #[command(flatten)]
    pub access: Access,
}

/// More names and IP addresses for a cluster's certificates. Once given, they stay.
#[derive(Debug, Clone, Default, Args)]
pub struct Names {
    /// Further names and addresses under which helium-apiserver is reached, such as those that joining clusters use.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub server_names: Vec<String>,
    /// Further names and addresses under which kine-shim is reached.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub store_names: Vec<String>,
}

/// Arguments of `helium token`.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Make a token that lets one cluster join, once and soon.
    Create(TokenCreateOptions),
    /// Show the tokens that there are.
    List(TokenListOptions),
    /// Take a token back.
    Delete(TokenDeleteOptions),
}

/// Arguments of `helium token create`.
#[derive(Debug, Clone, Args)]
pub struct TokenCreateOptions {
    /// The cluster that may join with it.
    #[arg(long)]
    pub cluster: Cluster,
    /// How long it is good for, such as 15m or 2h; at most 24h.
    #[arg(long, default_value = "15m", value_parser = parse_ttl)]
    pub ttl: SignedDuration,
    /// URL of this cluster's helium-apiserver as the other cluster reaches it, past the kube-apiserver.
    /// Default: the endpoint "direct" of this cluster's Member.
    #[arg(long, value_parser = parse_server)]
    pub server: Option<Url>,
    /// The authority (PEM) of that server's certificate. Default: the caBundle of APIService v1.helium.dev.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// URL of the database as its administrator: a role for the new cluster is made there, and the join file gets
    /// its URL. Better in the environment than as an argument.
    #[arg(long, env = DATABASE_ENV, hide_env_values = true)]
    pub database_url: Option<String>,
    /// Write all that the other cluster needs to this file (mode 0600) instead of printing a command.
    #[arg(long)]
    pub join_file: Option<PathBuf>,
    /// How to print it.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Which cluster makes it.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium token list`.
#[derive(Debug, Clone, Args)]
pub struct TokenListOptions {
    /// How to print them.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Which cluster is asked.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium token delete`.
#[derive(Debug, Clone, Args)]
pub struct TokenDeleteOptions {
    /// The token's id: its first six characters.
    pub id: String,
    /// Which cluster is asked.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium join`.
#[derive(Debug, Clone, Args)]
pub struct JoinOptions {
    /// The cluster's name in the fleet, as the token says it. Default: the join file's.
    #[arg(long, required_unless_present = "join_file")]
    pub cluster_name: Option<Cluster>,
    /// Where the cluster's authorities, certificates, objects.yaml and trust.pem are put.
    #[arg(long)]
    pub dir: PathBuf,
    /// What helium token create has written.
    #[arg(long, conflicts_with_all = ["server", "token", "ca_hash"])]
    pub join_file: Option<PathBuf>,
    /// URL of a member's helium-apiserver, past its kube-apiserver.
    #[arg(long, required_unless_present = "join_file", value_parser = parse_server)]
    pub server: Option<Url>,
    /// The token: id.secret.
    #[arg(
        long,
        env = "HELIUM_JOIN_TOKEN",
        hide_env_values = true,
        required_unless_present = "join_file"
    )]
    pub token: Option<Token>,
    /// Hash of the public key of that server, or of the authority that it shows: sha256:<hex>. May be given several times.
    #[arg(long, required_unless_present = "join_file")]
    pub ca_hash: Vec<PublicKeyHash>,
    /// More names for its certificates.
    #[command(flatten)]
    pub names: Names,
}

/// Arguments of `helium members`.
#[derive(Debug, Clone, Args)]
pub struct MembersOptions {
    /// How to print them.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Which cluster is asked.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium leave`.
#[derive(Debug, Clone, Args)]
pub struct LeaveOptions {
    /// Settle what another cluster, which won't come back, has left in the fleet, instead of taking this one out.
    #[arg(long, value_name = "CLUSTER")]
    pub dead: Option<Cluster>,
    /// With --dead: although its heartbeat says that it lives.
    #[arg(long, requires = "dead")]
    pub force: bool,
    /// URL of the database as its administrator: the cluster's role is removed there.
    #[arg(long, env = DATABASE_ENV, hide_env_values = true)]
    pub database_url: Option<String>,
    /// Which cluster leaves; with --dead, which one is asked.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium revoke`.
#[derive(Debug, Clone, Args)]
pub struct RevokeOptions {
    /// The cluster to shut out.
    pub cluster: Cluster,
    /// Why, for people.
    #[arg(long, required_unless_present = "undo")]
    pub reason: Option<String>,
    /// Let it in again.
    #[arg(long, conflicts_with = "reason")]
    pub undo: bool,
    /// URL of the database as its administrator: the cluster's role loses its login and its sessions are ended; with --undo it
    /// gets its login back.
    #[arg(long, env = DATABASE_ENV, hide_env_values = true)]
    pub database_url: Option<String>,
    /// Which cluster does it: any but the one that is shut out.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `helium doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorOptions {
    /// URL under which helium-apiserver can be reached from here, to look at its certificate. Default: the Service that the
    /// APIServices point at, if that can be reached.
    #[arg(long, value_parser = parse_server)]
    pub direct: Option<Url>,
    /// The user that helium-apiserver is in its cluster.
    #[arg(
        long,
        default_value = "system:serviceaccount:helium-system:helium-apiserver"
    )]
    pub server_user: ServiceAccountUser,
    /// How to print what was found.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Which cluster is examined.
    #[command(flatten)]
    pub access: Access,
}

/// A token as people see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: String,
    secret: String,
}

/// A user's name as Kubernetes knows it; a service account's groups follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountUser(String);

/// Characters of a token's two halves.
pub(crate) const TOKEN_ID_CHARACTERS: usize = 6;
pub(crate) const TOKEN_SECRET_CHARACTERS: usize = 24;
/// The longest that a token may be good for.
const MAX_TTL: SignedDuration = SignedDuration::from_hours(24);

impl Token {
    /// A token of these halves. They are what [`Token::from_str`] accepts.
    pub(crate) fn new(id: String, secret: String) -> Self {
        Self { id, secret }
    }

    /// The public half.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret half.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Both halves, as they are sent.
    pub(crate) fn reveal(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the secret.
        write!(formatter, "Token({}.…)", self.id)
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is = |part: &str, length: usize| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        match text.trim().split_once('.') {
            Some((id, secret))
                if is(id, TOKEN_ID_CHARACTERS) && is(secret, TOKEN_SECRET_CHARACTERS) =>
            {
                Ok(Self::new(id.to_owned(), secret.to_owned()))
            }
            // Not repeated: most of it may be right.
            _ => Err(format!(
                "a token is {TOKEN_ID_CHARACTERS} characters, a dot and {TOKEN_SECRET_CHARACTERS} characters, all of a to z and 0 to 9"
            )),
        }
    }
}

impl ServiceAccountUser {
    /// The user's name.
    pub(crate) fn name(&self) -> String {
        self.0.clone()
    }

    /// The groups that the user has by being a service account.
    pub(crate) fn groups(&self) -> Vec<String> {
        let mut groups = vec!["system:authenticated".to_owned()];
        let mut parts = self.0.split(':');
        if parts.next() == Some("system") && parts.next() == Some("serviceaccount") {
            groups.push("system:serviceaccounts".to_owned());
            if let Some(namespace) = parts.next() {
                groups.push(format!("system:serviceaccounts:{namespace}"));
            }
        }
        groups
    }
}

impl FromStr for ServiceAccountUser {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "name a user, such as system:serviceaccount:helium-system:helium-apiserver"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

fn parse_server(text: &str) -> Result<Url, String> {
    let example = "expected a URL such as https://helium.example.com:8443";
    let url = Url::parse(text).map_err(|error| format!("{error}: {example}"))?;
    if url.scheme() != "https" || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{text:?} isn't reached by TLS: {example}"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(format!(
            "{text:?} has a path: joining goes to helium-apiserver itself, not through a kube-apiserver; {example}"
        ));
    }
    Ok(url)
}

fn parse_ttl(text: &str) -> Result<SignedDuration, String> {
    let ttl: SignedDuration = text
        .parse()
        .map_err(|_error| format!("{text:?} is no duration: write 15m, 90s or 2h"))?;
    if ttl < SignedDuration::from_secs(1) || ttl > MAX_TTL {
        return Err("a token is good for at least 1s and at most 24h".to_owned());
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_two_halves_and_hides_one() {
        let token: Token = "abc123.0123456789abcdefghijklmn".parse().expect("a token");
        assert_eq!(token.id(), "abc123");
        assert_eq!(token.reveal(), "abc123.0123456789abcdefghijklmn");
        assert_eq!(format!("{token:?}"), "Token(abc123.…)");
        for text in [
            "",
            "abc123",
            "abc123.short",
            "ABC123.0123456789abcdefghijklmn",
            "abc123:0123456789abcdefghijklmn",
        ] {
            let error = text.parse::<Token>().expect_err(text);
            assert!(error.contains("6 characters, a dot and 24"), "{error}");
        }
    }

    #[test]
    fn a_server_is_reached_by_tls_and_without_a_path() {
        assert!(parse_server("https://helium.example.com:8443").is_ok());
        assert!(parse_server("https://10.0.0.1").is_ok());
        for (text, part) in [
            ("http://helium.example.com", "isn't reached by TLS"),
            ("helium.example.com", "expected a URL"),
            (
                "https://k8s.example.com/apis/helium.dev/v1/controlplanes/fleet/proxy",
                "has a path",
            ),
        ] {
            let error = parse_server(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_token_is_good_for_a_day_at_most() {
        assert_eq!(parse_ttl("15m"), Ok(SignedDuration::from_mins(15)));
        assert_eq!(parse_ttl("24h"), Ok(MAX_TTL));
        for text in ["0s", "25h", "-5m", "soon"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_account_is_in_the_groups_of_service_accounts() {
        let user: ServiceAccountUser = "system:serviceaccount:a:b".parse().expect("a user");
        assert_eq!(
            user.groups(),
            [
                "system:authenticated",
                "system:serviceaccounts",
                "system:serviceaccounts:a"
            ]
        );
        let plain: ServiceAccountUser = "maria".parse().expect("a user");
        assert_eq!(plain.groups(), ["system:authenticated"]);
    }
}
