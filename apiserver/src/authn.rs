//! Authentication: who is asking.
//!
//! Four ways, in this order; the first that yields a user wins:
//! 1. *Front proxy*: identity headers, only on a connection whose client certificate chains to
//!    the front-proxy authority and carries an allowed common name.
//! 2. *Client certificate* that chains to the client authority: common name = user, organisations = groups.
//! 3. *Bearer token*, reviewed by the host cluster (`TokenReview`).
//! 4. *Nobody*: `system:anonymous`, unless that is turned off.
//!
//! Invariants:
//! - **A1** A credential that was shown and is wrong is 401, never anonymous; but a later way may still
//!   accept the request (a user's certificate isn't the front proxy's).
//! - **A2** Identity headers are removed from the request whatever the outcome, and so is the bearer token.
//! - **A3** Names are only read from chains that an authority has verified, and authorities are
//!   looked up anew: a rotated or removed one counts within [`peer::VERIFIED_FOR`].
//! - **A4** The uid header is trusted only if configured by name: older aggregators don't strip a
//!   client's own.
//!
//! Impersonation is the front proxy's business. A direct request that asks for it is refused, because
//! ignoring the header would act with more rights than the client meant.

mod lookup;
pub mod peer;
mod request_header;
mod token;
pub mod user;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use helium_tls::ClientCas;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Authentication, RequestHeader};
use crate::host::{self, HostError};
use peer::Peer;
use request_header::HeaderNames;
use token::TokenReviewer;

pub use user::UserInfo;

/// Bundle name of the front proxy's authorities.
const REQUEST_HEADER_CA: &str = "requestheader";
/// Bundle name of the users' authorities.
const CLIENT_CA: &str = "client";

/// Why authentication can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A bundle of authorities can't be read.
    #[error("reading the certificate authorities in {path}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: Box<helium_tls::Error>,
    },
    /// A file can't be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// The host cluster can't be used.
    #[error("preparing the host cluster's client for authentication")]
    Host(#[source] HostError),
    /// The ConfigMap with the front proxy's settings can't be read, and that isn't tolerated.
    #[error(
        "looking up the ConfigMap kube-system/extension-apiserver-authentication; \
         give --requestheader-client-ca-file, or --authentication-skip-lookup, \
         or --authentication-tolerate-lookup-failure"
    )]
    Lookup(#[source] Box<kube::Error>),
}

/// Why a request isn't let in.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The credential is wrong or couldn't be checked.
    #[error("the credential was not accepted: {}", .0.join("; "))]
    Unauthorized(Vec<String>),
    /// The request asks to act as somebody else.
    #[error("impersonation isn't supported on this endpoint; send it through the cluster's API")]
    Impersonation,
}

/// How a request was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a front proxy's headers.
    FrontProxy,
    /// By the connection's client certificate.
    Certificate,
    /// By a bearer token.
    Token,
    /// Not at all.
    Anonymous,
}

/// An accepted identity.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who.
    pub user: UserInfo,
    /// How we know.
    pub way: Way,
}

/// Finds out who sends a request.
pub struct Authenticator {
    cas: Arc<ClientCas>,
    proxy: Arc<ArcSwapOption<HeaderNames>>,
    tokens: Option<TokenReviewer>,
    anonymous: bool,
}

impl Authenticator {
    /// Loads authorities, looks up the host cluster's settings, and keeps following both with tasks
    /// of `tracker` that end when `shutdown` is cancelled.
    ///
    /// # Errors
    /// [`SetupError`] when a file can't be read, or the lookup fails and isn't tolerated.
    pub async fn start(
        config: &Authentication,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, SetupError> {
        let cas = Arc::new(ClientCas::new());
        let proxy = Arc::new(ArcSwapOption::empty());
        let mut files = Vec::new();
        if let Some(path) = &config.client_ca_file {
            files.push((CLIENT_CA, path.clone()));
        }
        if let Some(settings) = &config.request_header {
            files.push((REQUEST_HEADER_CA, settings.ca_file.clone()));
            proxy.store(Some(Arc::new(HeaderNames::from(settings))));
        }
        lookup::load_files(&cas, &files)?;
        if !files.is_empty() {
            tracker.spawn(lookup::follow_files(
                Arc::clone(&cas),
                files,
                shutdown.clone(),
            ));
        }

        let client = host::client(&config.kubeconfig)
            .await
            .map_err(SetupError::Host)?;
        if let (Some(client), false) = (&client, config.skip_lookup) {
            let follower = lookup::Lookup {
                client: client.clone(),
                cas: Arc::clone(&cas),
                proxy: Arc::clone(&proxy),
                client_ca_from_flag: config.client_ca_file.is_some(),
                proxy_from_flags: config.request_header.is_some(),
            };
            follower
                .start(config.tolerate_lookup_failure, tracker, shutdown)
                .await?;
        }
        let tokens = client.map(|client| TokenReviewer::new(client, config.token_cache_ttl));
        Ok(Self {
            cas,
            proxy,
            tokens,
            anonymous: config.anonymous,
        })
    }

    /// Identifies the sender and removes every identity header and credential from `headers`.
    ///
    /// # Errors
    /// [`Rejection`], for which the answer is 401 or 403.
    pub async fn authenticate(
        &self,
        peer: &Peer,
        headers: &mut HeaderMap,
    ) -> Result<Identity, Rejection> {
        let proxy = self.proxy.load_full();
        let claim = request_header::take(headers, proxy.as_deref());
        let token = token::take(headers);
        let impersonates = request_header::take_impersonation(headers);
        let mut wrong = Vec::new();

        if let Some(proxy) = proxy.as_deref() {
            match peer.verified(&self.cas, REQUEST_HEADER_CA) {
                Some(subject) if proxy.allows(&subject.common_name) => {
                    if let Some(user) = claim {
                        let user = user.authenticated();
                        return Ok(Identity {
                            user,
                            way: Way::FrontProxy,
                        });
                    }
                }
                Some(subject) => wrong.push(format!(
                    "front proxy certificate with common name {:?} is not in the allowed list",
                    subject.common_name
                )),
                None if peer.has_certificate() => {
                    wrong.push("certificate isn't signed by the front proxy's authority".into());
                }
                None => {}
            }
        }
        if impersonates {
            return Err(Rejection::Impersonation);
        }
        if self.cas.contains(CLIENT_CA) {
            match peer.verified(&self.cas, CLIENT_CA) {
                Some(subject) if !subject.common_name.is_empty() => {
                    let user = peer.user(&subject).authenticated();
                    return Ok(Identity {
                        user,
                        way: Way::Certificate,
                    });
                }
                Some(_) => {}
                None if peer.has_certificate() => {
                    wrong.push("certificate isn't signed by the client authority".into());
                }
                None => {}
            }
        }
        if let Some(token) = token {
            match self.review(token).await {
                Ok(user) => {
                    return Ok(Identity {
                        user: user.authenticated(),
                        way: Way::Token,
                    });
                }
                Err(reason) => wrong.push(reason),
            }
        }
        if wrong.is_empty() && self.anonymous {
            return Ok(Identity {
                user: UserInfo::anonymous(),
                way: Way::Anonymous,
            });
        }
        Err(Rejection::Unauthorized(wrong))
    }

    /// Whether a connection is a front proxy's: its certificate chains to the front-proxy authority, whatever its name.
    #[must_use]
    pub fn is_front_proxy(&self, peer: &Peer) -> bool {
        self.proxy.load().is_some() && peer.verified(&self.cas, REQUEST_HEADER_CA).is_some()
    }

    /// The headers that a front proxy's settings name, for tests and diagnostics.
    #[must_use]
    pub fn front_proxy_configured(&self) -> bool {
        self.proxy.load().is_some() && self.cas.contains(REQUEST_HEADER_CA)
    }

    async fn review(&self, token: String) -> Result<UserInfo, String> {
        let Some(tokens) = &self.tokens else {
            return Err("bearer tokens can't be reviewed: no kubeconfig is given".into());
        };
        match tokens.review(token).await {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err("invalid bearer token".into()),
            Err(error) => {
                tracing::warn!(error = %helium_telemetry::Chain(&*error), "token review failed");
                Err("the bearer token couldn't be reviewed".into())
            }
        }
    }
}

impl From<&RequestHeader> for HeaderNames {
    fn from(settings: &RequestHeader) -> Self {
        Self::new(
            &settings.allowed_names,
            &settings.username_headers,
            &settings.uid_headers,
            &settings.group_headers,
            &settings.extra_header_prefixes,
        )
    }
}
