//! What the server behind an APIService shows to whom connects to it, as the aggregator would.
//!
//! The aggregator connects to the Service's address and expects the name `<service>.<namespace>.svc`. From where people
//! sit, a ClusterIP is seldom reachable; that isn't a finding.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helium_tls::{CertificateSummary, PinnedTls, certificates_from_pem};
use serde_json::Value;
use url::Url;

use super::facts::text;
use crate::wire::{self, Target};

/// How long an address may take to answer: nobody waits for one that can't be reached from here.
const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug)]
pub(super) struct Served {
    /// Where it was looked at.
    pub(super) address: String,
    /// What the server has shown, its own certificate first; empty if it wasn't reached.
    pub(super) chain: Vec<CertificateSummary>,
    /// Why a client that trusts the APIService's `caBundle` refuses it, or can't reach it.
    pub(super) refused: Option<String>,
}

/// Connects to what an APIService points at, if the address is known here.
pub(super) async fn served(
    api_service: &Value,
    service: Option<&Value>,
    direct: Option<&Url>,
) -> Option<Served> {
    let bundle = bundle(api_service)?;
    let to = &api_service["spec"]["service"];
    let name = format!("{}.{}.svc", text(&to["name"]), text(&to["namespace"]));
    let port = to["port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok());
    let port = port.unwrap_or(443);
    let target = match (direct, service) {
        (Some(url), _) => {
            let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
            Target::new(host, url.port_or_known_default()?, name)
        }
        (None, Some(service)) if service["spec"]["type"] == "ExternalName" => {
            let host = text(&service["spec"]["externalName"]).to_owned();
            Target::new(host, port, name)
        }
        (None, Some(service)) => {
            let host = text(&service["spec"]["clusterIP"]);
            if host.is_empty() || host == "None" {
                return None;
            }
            Target::new(host.to_owned(), port, name)
        }
        (None, None) => return None,
    };
    let authorities = certificates_from_pem(&bundle, "caBundle").ok()?;
    let tls = PinnedTls::new(Vec::new(), authorities).ok()?;
    let refused = wire::handshake(&target, &tls, REACHED_WITHIN).await.err();
    let chain = tls.shown();
    if chain.is_empty() && direct.is_none() {
        return None; // not reachable from here: the aggregator's own verdict has to do
    }
    Some(Served {
        address: target.to_string(),
        chain,
        refused,
    })
}

/// The bundle of an APIService, as PEM.
pub(super) fn bundle(api_service: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(text(&api_service["spec"]["caBundle"])).ok()
}
