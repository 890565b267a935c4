//! Names, passwords and statements of roles.

use crate::{Error, ErrorKind, Result};

/// The group role that has a member's rights.
pub const GROUP: &str = "helium_member";

/// What stands before a cluster's name.
const PREFIX: &str = "helium_";

/// PostgreSQL cuts longer names off without a word: two clusters would share a role.
const LONGEST: usize = 63;

/// What a member may do. Each right is used by a statement of the journal:
/// trimming deletes, settling an append updates `log`, a checkpointer writes all of the last three.
pub(in crate::postgres) const GRANTS: [&str; 7] = [
    "GRANT SELECT ON helium_schema TO helium_member",
    "GRANT SELECT, INSERT, DELETE ON journal TO helium_member",
    "GRANT SELECT, INSERT, UPDATE ON log TO helium_member",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON member TO helium_member",
    "GRANT SELECT, INSERT, UPDATE ON checkpoint TO helium_member",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON kv TO helium_member",
    "GRANT SELECT, INSERT, DELETE ON kv_before TO helium_member",
];

pub(in crate::postgres) const ROLE_EXISTS: &str =
    "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1::text)";

/// Attributes, or a membership in anything but the group.
pub(in crate::postgres) const ROLE_IS_STRONG: &str = "\
SELECT r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls \
OR EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid \
WHERE m.member = r.oid AND g.rolname <> 'helium_member') \
FROM pg_roles r WHERE r.rolname = $1::text";

/// Where the tables are, and what the group may do there, by whatever way.
pub(in crate::postgres) const REACH: &str = "\
SELECT current_schema()::text, \
has_database_privilege($1::text, current_database(), 'CONNECT'), \
has_schema_privilege($1::text, current_schema(), 'USAGE'), \
has_schema_privilege($1::text, current_schema(), 'CREATE')";

/// One row for each session that was there.
pub(in crate::postgres) const END_SESSIONS: &str = "\
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1::text";

pub(in crate::postgres) const YUGABYTE_NODES: &str = "SELECT host, port::integer FROM yb_servers()";

/// A quoted identifier.
pub(in crate::postgres) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(in crate::postgres) fn create(role: &str) -> String {
    let role = identifier(role);
    format!("CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT")
}

pub(in crate::postgres) fn join_group(role: &str) -> String {
    format!("GRANT {GROUP} TO {}", identifier(role))
}

pub(in crate::postgres) fn leave_group(role: &str) -> String {
    format!("REVOKE {GROUP} FROM {}", identifier(role))
}

/// Lets a role in with a password, given as its verifier.
pub(in crate::postgres) fn let_in(role: &str, verifier: &str) -> String {
    let verifier = verifier.replace('\'', "''");
    format!(
        "ALTER ROLE {} LOGIN PASSWORD '{verifier}'",
        identifier(role)
    )
}

pub(in crate::postgres) fn may_login(role: &str, may: bool) -> String {
    let word = if may { "LOGIN" } else { "NOLOGIN" };
    format!("ALTER ROLE {} {word}", identifier(role))
}

pub(in crate::postgres) fn drop_role(role: &str) -> String {
    format!("DROP ROLE IF EXISTS {}", identifier(role))
}

/// The role of a cluster.
///
/// # Errors
/// [`ErrorKind::Refused`] when no role can stand for a cluster of that name alone.
pub fn role_name(cluster: &str) -> Result<String> {
    let refused = |detail: String| {
        Error::new("naming a member's role", ErrorKind::Refused)
            .determinate()
            .with_detail(detail)
    };
    let role = format!("{PREFIX}{cluster}");
    let allowed =
        |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || "-.".contains(one);
    if cluster.is_empty() || !cluster.chars().all(allowed) {
        return Err(refused(format!(
            "{cluster:?} is no name of a cluster: use lower-case letters, digits, '-' and '.'"
        )));
    }
    if role.len() > LONGEST {
        return Err(refused(format!(
            "the cluster's name {cluster:?} is too long for a role: use at most {} characters",
            LONGEST - PREFIX.len()
        )));
    }
    if role == GROUP {
        return Err(refused(format!(
            "a cluster can't be called {cluster:?}: {GROUP} is the role of all members together"
        )));
    }
    Ok(role)
}

/// What the server keeps of a password, made here (RFC 5803).
pub(in crate::postgres) fn verifier(password: &str) -> Result<String> {
    if password.is_empty() || password.contains('\0') {
        return Err(Error::new("setting a password", ErrorKind::Refused)
            .determinate()
            .with_detail("a password must not be empty, and must not hold a zero byte"));
    }
    Ok(postgres_protocol::password::scram_sha_256(
        password.as_bytes(),
    ))
}

/// The endpoint of a cluster's kine-shim: the administrator's, with the cluster's role and password.
///
/// # Errors
/// As [`role_name`]; [`ErrorKind::Endpoint`] for what is no `postgres://` URL.
pub fn member_endpoint(admin: &str, cluster: &str, password: &str) -> Result<String> {
    let role = role_name(cluster)?;
    let (scheme, rest) = admin
        .trim()
        .split_once("://")
        .filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"))
        .ok_or_else(|| {
            Error::new("making a member's endpoint", ErrorKind::Endpoint)
                .determinate()
                .with_detail("the admin endpoint is no postgres:// URL")
        })?;
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (rest, None),
    };
    let place = address
        .rsplit_once('@')
        .map_or(address, |(_user, place)| place);
    let password: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
    // That form has plus signs for spaces, which a URL's user information hasn't.
    let password = password.replace('+', "%20");
    let mut endpoint = format!("{scheme}://{role}:{password}@{place}");
    // User and password may stand behind the question mark too, and would count there.
    let kept: Vec<&str> = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|one| !one.starts_with("user=") && !one.starts_with("password="))
        .collect();
    if !kept.is_empty() {
        endpoint.push('?');
        endpoint.push_str(&kept.join("&"));
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_a_role_of_its_own_or_none() {
        assert_eq!(role_name("eu-1").unwrap(), "helium_eu-1");
        let longest = "a".repeat(56);
        assert_eq!(role_name(&longest).unwrap().len(), 63);
        for (name, part) in [
            ("", "is no name"),
            ("Eu", "is no name"),
            ("a\"b", "is no name"),
            ("größe", "is no name"),
            ("a_b", "is no name"),
            (&format!("{longest}a"), "at most 56"),
            ("member", "all members together"),
        ] {
            let error = role_name(name).unwrap_err();
            assert!(error.to_string().contains(part), "{name}: {error}");
            assert_eq!(error.kind(), ErrorKind::Refused);
        }
    }

    #[test]
    fn names_are_quoted_and_passwords_never_written() {
        assert_eq!(identifier("a\"; DROP TABLE b"), "\"a\"\"; DROP TABLE b\"");
        let verifier = verifier("it's \\ a secret").unwrap();
        let statement = let_in("helium_a", &verifier);
        assert!(
            statement.starts_with("ALTER ROLE \"helium_a\" LOGIN PASSWORD 'SCRAM-SHA-256$4096:")
        );
        assert!(!statement.contains("secret"));
        assert!(super::verifier("").is_err() && super::verifier("a\0b").is_err());
    }

    #[test]
    fn a_members_endpoint_differs_in_user_and_password_alone() {
        for (admin, expected) in [
            (
                "postgres://root:x@db:5433/fleet?sslmode=verify-full&user=root",
                "postgres://helium_a:p%40%3F%20s@db:5433/fleet?sslmode=verify-full",
            ),
            (
                "postgresql://db/fleet",
                "postgresql://helium_a:p%40%3F%20s@db/fleet",
            ),
            (
                "postgres://a:b@one:1,two:2/x?password=y",
                "postgres://helium_a:p%40%3F%20s@one:1,two:2/x",
            ),
        ] {
            assert_eq!(member_endpoint(admin, "a", "p@? s").unwrap(), expected);
        }
        let error = member_endpoint("sqlite://x.db", "a", "p").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Endpoint);
    }
}
