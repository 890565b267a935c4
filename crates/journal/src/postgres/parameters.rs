//! What a PostgreSQL endpoint says.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::{Error, ErrorKind, Result, TlsFiles};

const ACTION: &str = "parsing the PostgreSQL endpoint";

/// How the server's certificate is checked, as libpq names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Not at all: `sslmode=prefer` and `require` without roots.
    Nothing,
    /// Its chain up to the roots, but not its name: `verify-ca`.
    Chain,
    /// Chain and name: `verify-full`.
    Full,
}

/// A parsed endpoint.
#[derive(Debug, Clone)]
pub struct PostgresParameters {
    /// Hosts, user, password, database; `Debug` shows no password.
    pub config: Config,
    /// What is checked once TLS is spoken.
    pub verify: Verify,
    /// Roots, certificate and key.
    pub tls: TlsFiles,
    /// Parameters that were given and have no effect, as `name=value`.
    pub ignored: Vec<String>,
}

impl PostgresParameters {
    /// kine's database, when the URL names none.
    pub const DEFAULT_DATABASE: &'static str = "kubernetes";

    /// Parses what follows `postgres://`.
    ///
    /// The parameters of libpq that concern TLS are ours; those that the driver knows go to it; the
    /// ones of kine's driver are listed as ignored; any other becomes a setting of the session, as
    /// kine passes them on.
    pub(crate) fn parse(rest: &str, files: &TlsFiles) -> Result<Self> {
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let address = if address.is_empty() {
            "postgres:postgres@localhost/"
        } else {
            address
        };
        let mut kept = Vec::new();
        let mut settings = String::new();
        let mut ignored = Vec::new();
        let mut mode = None;
        let mut tls = files.clone();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => tls.ca_file = Some(PathBuf::from(value.into_owned())),
                "sslcert" => tls.cert_file = Some(PathBuf::from(value.into_owned())),
                "sslkey" => tls.key_file = Some(PathBuf::from(value.into_owned())),
                // Appends need the primary, whatever the URL asks for.
                "target_session_attrs" | "default_query_exec_mode" => {
                    ignored.push(format!("{name}={value}"));
                }
                _ if name.starts_with("pool_") || name.starts_with("statement_cache_") => {
                    ignored.push(format!("{name}={value}"));
                }
                "user"
                | "password"
                | "dbname"
                | "host"
                | "hostaddr"
                | "port"
                | "options"
                | "application_name"
                | "sslnegotiation"
                | "connect_timeout"
                | "tcp_user_timeout"
                | "keepalives"
                | "keepalives_idle"
                | "keepalives_interval"
                | "keepalives_retries"
                | "channel_binding"
                | "load_balance_hosts" => kept.push((name, value)),
                _ => {
                    let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
                    settings.push_str(&format!(" -c {name}={value}"));
                }
            }
        }
        let mut url = format!("postgresql://{address}");
        let encoded = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .finish();
        if !encoded.is_empty() {
            // The driver decodes percent signs only, not plus signs.
            url = format!("{url}?{}", encoded.replace('+', "%20"));
        }
        let mut config = Config::from_str(&url).map_err(|error| {
            Error::new(ACTION, ErrorKind::Endpoint)
                .determinate()
                .with_detail("not a PostgreSQL URL (postgres://user:password@host:port/database)")
                .with_source(error)
        })?;
        complete(&mut config, &settings);
        let verify = transport(&mut config, mode, &tls)?;
        Ok(Self {
            config,
            verify,
            tls,
            ignored,
        })
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or(Self::DEFAULT_DATABASE)
    }
}

/// Fills what the URL left open.
fn complete(config: &mut Config, settings: &str) {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("localhost");
    }
    let database = config.get_dbname().filter(|name| !name.is_empty());
    let database = database
        .unwrap_or(PostgresParameters::DEFAULT_DATABASE)
        .to_lowercase();
    config.dbname(database);
    if !settings.is_empty() {
        let options = format!("{}{settings}", config.get_options().unwrap_or_default());
        config.options(options.trim_start());
    }
    if config.get_application_name().is_none() {
        config.application_name("helium");
    }
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    // A dead peer is noticed within about ten seconds, whether or not bytes are in flight.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    if config.get_keepalives_idle() > Duration::from_secs(3600) {
        config.keepalives_idle(Duration::from_secs(5));
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(2));
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
}

/// TLS files without a mode mean `verify-full`, as in kine; `require` with roots means `verify-ca`,
/// as in libpq.
fn transport(config: &mut Config, mode: Option<String>, tls: &TlsFiles) -> Result<Verify> {
    let files = tls.ca_file.is_some() || tls.cert_file.is_some() || tls.key_file.is_some();
    let mode = mode.unwrap_or_else(|| if files { "verify-full" } else { "prefer" }.to_owned());
    let (ssl, verify) = match mode.as_str() {
        "disable" => (SslMode::Disable, Verify::Nothing),
        "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
        "require" if tls.ca_file.is_some() => (SslMode::Require, Verify::Chain),
        "require" => (SslMode::Require, Verify::Nothing),
        "verify-ca" => (SslMode::Require, Verify::Chain),
        "verify-full" => (SslMode::Require, Verify::Full),
        _ => {
            return Err(Error::new(ACTION, ErrorKind::Endpoint).determinate().with_detail(format!(
                "sslmode {mode:?} is not one of disable, allow, prefer, require, verify-ca, verify-full"
            )));
        }
    };
    config.ssl_mode(ssl);
    Ok(verify)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_postgres::config::Host;

    fn parse(rest: &str) -> PostgresParameters {
        PostgresParameters::parse(rest, &TlsFiles::default()).unwrap()
    }

    #[test]
    fn the_database_defaults_to_kines_and_is_lower_cased() {
        assert_eq!(parse("").database(), "kubernetes");
        assert_eq!(parse("u:p@h:5433/").database(), "kubernetes");
        assert_eq!(parse("u:p@h:5433/MyDB").database(), "mydb");
        assert_eq!(parse("").config.get_user(), Some("postgres"));
    }

    #[test]
    fn several_hosts_keep_their_ports_and_order() {
        let parsed = parse("u:p%40%2B@a:1,b:2/x");
        let hosts = [Host::Tcp("a".to_owned()), Host::Tcp("b".to_owned())];
        assert_eq!(parsed.config.get_hosts(), hosts);
        assert_eq!(parsed.config.get_ports(), [1, 2]);
        assert_eq!(parsed.config.get_password(), Some(&b"p@+"[..]));
        assert_eq!(
            parsed.config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
    }

    #[test]
    fn unknown_parameters_become_settings_and_pgx_ones_are_listed() {
        let parsed = parse("u@h/x?search_path=a%20b&default_query_exec_mode=exec&pool_max_conns=3");
        assert_eq!(parsed.config.get_options(), Some("-c search_path=a\\ b"));
        assert_eq!(
            parsed.ignored,
            ["default_query_exec_mode=exec", "pool_max_conns=3"]
        );
    }

    #[test]
    fn tls_files_without_a_mode_verify_in_full() {
        let files = TlsFiles {
            ca_file: Some("ca.pem".into()),
            ..TlsFiles::default()
        };
        let parsed = PostgresParameters::parse("u@h/x", &files).unwrap();
        assert_eq!(
            (parsed.config.get_ssl_mode(), parsed.verify),
            (SslMode::Require, Verify::Full)
        );
        let parsed = PostgresParameters::parse("u@h/x?sslmode=require", &files).unwrap();
        assert_eq!(parsed.verify, Verify::Chain);
        let parsed = parse("u@h/x?sslmode=disable");
        assert_eq!(parsed.config.get_ssl_mode(), SslMode::Disable);
        let wrong = PostgresParameters::parse("u@h/x?sslmode=maybe", &files).unwrap_err();
        assert!(wrong.to_string().contains("verify-full"), "{wrong}");
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", parse("u:geheim@h/x")).contains("geheim"));
    }
}
