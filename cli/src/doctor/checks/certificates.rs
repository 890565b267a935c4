//! The certificate behind the APIServices, and the bundle that they trust.

use helium_tls::{CertificateSummary, certificates_from_pem};
use jiff::Timestamp;

use super::super::facts::{FIRST_API_SERVICE, Facts, items, name};
use super::super::finding::Finding;
use super::super::probe;
use crate::table::span;

/// Certificates that end sooner are told.
const SOON_SECONDS: i64 = 14 * 86_400;

const CA_BUNDLE: &str = "ca-bundle";
const CERTIFICATE: &str = "certificate";

pub(super) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    let services = items(&facts.api_services);
    let Some(first) = services.iter().find(|one| name(one) == FIRST_API_SERVICE) else {
        return; // told by registration
    };
    let now = facts.now.as_second();
    let bundle = probe::bundle(first).unwrap_or_default();
    let authorities = certificates_from_pem(&bundle, "caBundle").unwrap_or_default();
    let authorities: Vec<CertificateSummary> = authorities
        .iter()
        .filter_map(|certificate| CertificateSummary::of(certificate).ok())
        .collect();
    let before = findings.len();
    bundles(facts, &authorities, findings);
    validity(facts, &authorities, now, findings);
    if findings.len() == before && !authorities.is_empty() {
        let seen = match &facts.served {
            Some(served) => format!("the server at {} fits the caBundle", served.address),
            None => "the caBundle is valid (the server can't be reached from here to compare)"
                .to_owned(),
        };
        findings.push(Finding::good(CA_BUNDLE, seen));
    }
}

fn bundles(facts: &Facts, authorities: &[CertificateSummary], findings: &mut Vec<Finding>) {
    let services = items(&facts.api_services);
    let first = services.iter().find(|one| name(one) == FIRST_API_SERVICE);
    let Some(first) = first else { return };
    let to = &first["spec"]["service"];
    if authorities.is_empty() {
        if first["spec"]["insecureSkipTLSVerify"] == true {
            findings.push(Finding::problem(
                CA_BUNDLE,
                "the kube-apiserver doesn't verify whom it hands requests to",
                format!("{FIRST_API_SERVICE} has insecureSkipTLSVerify"),
                "Remove it and set caBundle to the authority of the server's certificate: the agent does so with --ca-file.",
            ));
        } else {
            findings.push(Finding::warning(
                CA_BUNDLE,
                format!("{FIRST_API_SERVICE} has no caBundle"),
                "the kube-apiserver trusts what its own machine trusts instead",
                "Set caBundle to the authority of the server's certificate: the agent does so with --ca-file.",
            ));
        }
        return;
    }
    // Those that lead to the same server trust the same.
    let differing: Vec<String> = services
        .iter()
        .filter(|one| one["spec"]["service"] == *to)
        .filter(|one| one["spec"]["caBundle"] != first["spec"]["caBundle"])
        .map(|one| name(one).to_owned())
        .collect();
    let remedy = "Give the agent the right --ca-file (ca.crt in Secret helium-apiserver-tls), or set caBundle yourself where no agent runs.";
    if !differing.is_empty() {
        findings.push(Finding::problem(
            CA_BUNDLE,
            format!("caBundle differs in {}", super::list(&differing)),
            format!(
                "they lead to the same server as {FIRST_API_SERVICE}, and trust another authority"
            ),
            remedy,
        ));
    }
    let Some(served) = &facts.served else { return };
    let (Some(refused), Some(leaf)) = (&served.refused, served.chain.first()) else {
        return; // fits, or wasn't reached
    };
    if refused.contains("not valid for name") {
        findings.push(Finding::problem(
            CERTIFICATE,
            format!(
                "the certificate of the server at {} is for another name",
                served.address
            ),
            format!(
                "it is for {}; the kube-apiserver expects {}.{}.svc",
                leaf.names.join(", "),
                super::super::facts::text(&to["name"]),
                super::super::facts::text(&to["namespace"])
            ),
            "Issue a certificate with that name, and put it into Secret helium-apiserver-tls.",
        ));
    } else {
        let trusted: Vec<String> = authorities
            .iter()
            .map(|authority| format!("{} ({})", authority.subject, short(authority)))
            .collect();
        findings.push(Finding::problem(
            CA_BUNDLE,
            "caBundle isn't the authority of the server's certificate",
            format!(
                "the server at {} shows a certificate that {} has signed; {FIRST_API_SERVICE} trusts {} ({refused})",
                served.address,
                leaf.issuer,
                trusted.join(", ")
            ),
            remedy,
        ));
    }
}

fn short(certificate: &CertificateSummary) -> String {
    certificate.key_hash.to_string().chars().take(19).collect()
}

fn validity(
    facts: &Facts,
    authorities: &[CertificateSummary],
    now: i64,
    findings: &mut Vec<Finding>,
) {
    let leaf = facts
        .served
        .as_ref()
        .and_then(|served| served.chain.first())
        .map(|leaf| (leaf, "the server's certificate"));
    // Of several authorities in a bundle, an old one may be over: the newest counts.
    let newest = authorities
        .iter()
        .max_by_key(|authority| authority.not_after)
        .map(|authority| (authority, "the authority in caBundle"));
    for (certificate, what) in leaf.into_iter().chain(newest) {
        let until = Timestamp::from_second(certificate.not_after).unwrap_or(Timestamp::MAX);
        let from = Timestamp::from_second(certificate.not_before).unwrap_or(Timestamp::MIN);
        let remedy = "Renew it (docs/identity.md, Rotating); files are read again when they change, so replacing the Secret is enough.";
        if now > certificate.not_after {
            findings.push(Finding::problem(
                CERTIFICATE,
                format!("{what} has expired"),
                format!("{} was valid until {until}", certificate.subject),
                remedy,
            ));
        } else if now < certificate.not_before {
            findings.push(Finding::problem(
                CERTIFICATE,
                format!("{what} isn't valid yet"),
                format!("{} is valid from {from}", certificate.subject),
                "Compare the clock of the machine that made it with this one's.",
            ));
        } else if certificate.not_after - now < SOON_SECONDS {
            findings.push(Finding::warning(
                CERTIFICATE,
                format!("{what} expires in {}", span(certificate.not_after - now)),
                format!("{} is valid until {until}", certificate.subject),
                remedy,
            ));
        }
    }
}
