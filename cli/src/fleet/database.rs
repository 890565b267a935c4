//! The clusters' roles in the database: a member's, and nobody else's.

use helium_journal::postgres::roles;
use rand::Rng as _;

use crate::error::{Error, Result};

/// Characters of a role's password: more than can be guessed, and none that a URL would have to escape.
const PASSWORD_CHARACTERS: usize = 40;
const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Makes the role of a cluster, with a new password; the URL that the cluster's kine-shim uses.
pub(super) async fn admit(admin: &str, cluster: &str) -> Result<String> {
    let password = password();
    roles::create_member_role(admin, cluster, &password)
        .await
        .map_err(failed(format!("making the role of {cluster}")))?;
    roles::member_endpoint(admin, cluster, &password)
        .map_err(failed(format!("making the URL of {cluster}")))
}

/// Takes a role its login and ends its sessions; how many there were, and where that couldn't be done.
pub(super) async fn revoke(admin: &str, cluster: &str) -> Result<(u64, Vec<String>)> {
    let revoked = roles::revoke_member_role(admin, cluster)
        .await
        .map_err(failed(format!("shutting out the role of {cluster}")))?;
    Ok((revoked.sessions, revoked.unreached))
}

/// Gives a role its login back, with the password that it had.
pub(super) async fn restore(admin: &str, cluster: &str) -> Result<()> {
    roles::restore_member_role(admin, cluster)
        .await
        .map_err(failed(format!("letting in the role of {cluster}")))
}

/// Removes a role.
pub(super) async fn drop_role(admin: &str, cluster: &str) -> Result<()> {
    roles::drop_member_role(admin, cluster)
        .await
        .map_err(failed(format!("removing the role of {cluster}")))
}

fn failed(doing: String) -> impl FnOnce(helium_journal::Error) -> Error {
    move |source| Error::Database {
        doing,
        source: source.into(),
    }
}

fn password() -> String {
    let mut rng = rand::rng();
    let random = |_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]);
    (0..PASSWORD_CHARACTERS).map(random).collect()
}
