//! Bearer tokens, reviewed by the host cluster.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use rand::Rng;
use sha2::{Digest, Sha256};

use super::user::UserInfo;
use crate::host;
use crate::memo::Memo;

/// Outcomes remembered at once.
const REMEMBERED: usize = 4096;

type Outcome = Option<UserInfo>;

/// Asks the host cluster whose a token is, and remembers the outcome for a short time.
pub(super) struct TokenReviewer {
    reviews: Api<TokenReview>,
    ttl: Duration,
    // Keys are salted hashes: a dump of memory holds no token longer than its request.
    salt: [u8; 32],
    memo: Memo<[u8; 32], Outcome, Arc<kube::Error>>,
}

impl TokenReviewer {
    pub(super) fn new(client: Client, ttl: Duration) -> Self {
        let mut salt = [0; 32];
        rand::rng().fill(&mut salt);
        Self {
            reviews: Api::all(client),
            ttl,
            salt,
            memo: Memo::new(REMEMBERED),
        }
    }

    /// Whose the token is; `None` if it is nobody's.
    pub(super) async fn review(&self, token: String) -> Result<Outcome, Arc<kube::Error>> {
        let key = Sha256::new()
            .chain_update(self.salt)
            .chain_update(&token)
            .finalize();
        let reviews = self.reviews.clone();
        let ask = || async move { ask(&reviews, token).await.map_err(Arc::new) };
        self.memo.get_or_ask(key.into(), |_| self.ttl, ask).await
    }
}

async fn ask(reviews: &Api<TokenReview>, token: String) -> Result<Outcome, kube::Error> {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token,
            ..TokenReviewSpec::default()
        },
        ..TokenReview::default()
    };
    let params = PostParams::default();
    let answer = host::with_retries(|| reviews.create(&params, &review)).await?;
    let status = answer.status.unwrap_or_default();
    if status.authenticated != Some(true) {
        return Ok(None);
    }
    let user = status.user.unwrap_or_default();
    let Some(name) = user.username.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(UserInfo {
        name,
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    }))
}

/// Removes the `Authorization` header and returns its bearer token. Other schemes are no
/// credential here.
pub(super) fn take(headers: &mut HeaderMap) -> Option<String> {
    let value = headers.remove(header::AUTHORIZATION)?;
    let mut words = value.to_str().ok()?.trim().splitn(3, ' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn taken(value: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
        let token = take(&mut headers);
        assert!(headers.is_empty(), "the credential is removed");
        token
    }

    #[test]
    fn only_bearer_tokens_are_credentials() {
        assert_eq!(taken("Bearer abc"), Some("abc".into()));
        assert_eq!(taken("bearer abc def"), Some("abc".into()));
        assert_eq!(taken("Basic abc"), None);
        assert_eq!(taken("Bearer"), None);
        assert_eq!(taken("Bearer  abc"), None);
    }
}
