//! Opening a journal from a kine endpoint URL.
//!
//! | URL | journal |
//! |---|---|
//! | (empty) | SQLite in `./db/state.db`, as kine |
//! | `sqlite://path?parameters`, `sqlite:///absolute/path` | SQLite |
//! | `postgres://user:password@host:port/database?parameters`, `postgresql://…` | PostgreSQL, YugabyteDB |
//!
//! Several hosts may be given, `postgres://…@a:5433,b:5433/…`: the first that is a primary is used.

use std::fmt;
use std::sync::Arc;

use crate::postgres::{PostgresJournal, PostgresParameters};
use crate::sqlite::{SqliteJournal, SqliteParameters};
use crate::{Error, ErrorKind, Journal, Options, Result, TlsFiles};

/// A parsed endpoint. Its `Display` and `Debug` show no password.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A SQLite file.
    Sqlite(SqliteParameters),
    /// A PostgreSQL or YugabyteDB database.
    Postgres(Box<PostgresParameters>),
}

impl Endpoint {
    /// Parses kine's `--endpoint`.
    ///
    /// # Errors
    /// [`ErrorKind::Endpoint`], saying what is supported. The text never holds the URL's password.
    pub fn parse(endpoint: &str, tls: &TlsFiles) -> Result<Self> {
        const ACTION: &str = "parsing the endpoint";
        let endpoint = endpoint.trim();
        if endpoint.is_empty() {
            return Ok(Self::Sqlite(SqliteParameters::new(
                SqliteParameters::DEFAULT_PATH,
            )));
        }
        let refused = |detail: String| {
            Error::new(ACTION, ErrorKind::Endpoint)
                .determinate()
                .with_detail(detail)
        };
        let Some((scheme, rest)) = endpoint.split_once("://") else {
            return Err(refused(
                "not a URL; use sqlite://path or postgres://user:password@host:port/database"
                    .to_owned(),
            ));
        };
        match scheme {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(PostgresParameters::parse(
                rest, tls,
            )?))),
            _ => Err(refused(format!(
                "{scheme}:// is not supported; use sqlite://path, or postgres:// for PostgreSQL and \
                 YugabyteDB"
            ))),
        }
    }

    /// Parameters of the URL that have no effect, as `name=value`.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        match self {
            Self::Sqlite(parameters) => &parameters.ignored,
            Self::Postgres(parameters) => &parameters.ignored,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(parameters) => write!(f, "sqlite://{}", parameters.path.display()),
            Self::Postgres(parameters) => {
                use tokio_postgres::config::Host;
                write!(f, "postgres://")?;
                let ports = parameters.config.get_ports();
                for (index, host) in parameters.config.get_hosts().iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
                    match host {
                        Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                        Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
                    }
                }
                write!(f, "/{}", parameters.database())
            }
        }
    }
}

fn sqlite(rest: &str) -> Result<Endpoint> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path == ":memory:" || query.contains("mode=memory") {
        return Err(Error::new("parsing the endpoint", ErrorKind::Endpoint)
            .determinate()
            .with_detail("a SQLite database in memory would lose everything; give a file"));
    }
    let path = if path.is_empty() {
        SqliteParameters::DEFAULT_PATH
    } else {
        path
    };
    let mut parameters = SqliteParameters::new(path.strip_prefix("file:").unwrap_or(path));
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        parameters.set(&name, &value);
    }
    Ok(Endpoint::Sqlite(parameters))
}

/// Opens the journal that an endpoint names.
///
/// # Errors
/// As [`Endpoint::parse`], [`SqliteJournal::open`] and [`PostgresJournal::open`].
pub async fn open(endpoint: &str, tls: &TlsFiles, options: &Options) -> Result<Arc<dyn Journal>> {
    let endpoint = Endpoint::parse(endpoint, tls)?;
    if !endpoint.ignored().is_empty() {
        let parameters = endpoint.ignored().join("&");
        tracing::warn!(%endpoint, parameters, "endpoint parameters without effect here");
    }
    match &endpoint {
        Endpoint::Sqlite(parameters) => {
            Ok(Arc::new(SqliteJournal::open(parameters, options).await?))
        }
        Endpoint::Postgres(parameters) => {
            Ok(Arc::new(PostgresJournal::open(parameters, options).await?))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn path(endpoint: &str) -> PathBuf {
        match Endpoint::parse(endpoint, &TlsFiles::default()).unwrap() {
            Endpoint::Sqlite(parameters) => parameters.path,
            Endpoint::Postgres(_) => panic!("{endpoint} is not SQLite"),
        }
    }

    #[test]
    fn sqlite_paths_are_read_as_kine_reads_them() {
        assert_eq!(path(""), PathBuf::from("./db/state.db"));
        assert_eq!(path("sqlite://"), PathBuf::from("./db/state.db"));
        assert_eq!(
            path("sqlite:///var/lib/x.db?cache=shared"),
            PathBuf::from("/var/lib/x.db")
        );
        assert_eq!(
            path("sqlite://relative/x.db"),
            PathBuf::from("relative/x.db")
        );
    }

    #[test]
    fn other_databases_are_refused_with_what_is_supported() {
        for endpoint in [
            "mysql://root@tcp(h:1)/x",
            "nats://h",
            "http://h:2379",
            "memory://",
        ] {
            let error = Endpoint::parse(endpoint, &TlsFiles::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Endpoint);
            assert!(error.to_string().contains("postgres://"), "{error}");
        }
        assert!(Endpoint::parse("sqlite://:memory:", &TlsFiles::default()).is_err());
        assert!(Endpoint::parse("state.db", &TlsFiles::default()).is_err());
    }

    #[test]
    fn no_text_shows_a_password() {
        let url = "postgres://u:geheim@a:1,b:2/x?application_name=y";
        let endpoint = Endpoint::parse(url, &TlsFiles::default()).unwrap();
        assert_eq!(endpoint.to_string(), "postgres://a:1,b:2/x");
        assert!(!format!("{endpoint:?}").contains("geheim"));
        let wrong = "postgres://u:geheim@a:port/x";
        let error = Endpoint::parse(wrong, &TlsFiles::default()).unwrap_err();
        assert!(
            !crate::chain(&error).contains("geheim"),
            "{}",
            crate::chain(&error)
        );
    }
}
