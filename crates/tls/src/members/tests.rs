use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::CertificateError;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Distrust, MemberRecord, MemberTrust};
use crate::pki::{Authority, Issued};
use crate::{Component, certificates_from_pem};

fn authority(name: &str) -> Authority {
    Authority::new(name).expect("an authority")
}

fn member(cluster: &str, authorities: &[&Authority]) -> MemberRecord {
    MemberRecord {
        cluster: cluster.to_owned(),
        authorities: authorities
            .iter()
            .map(|authority| authority.certificate_pem())
            .collect(),
        revoked: false,
        reason: String::new(),
    }
}

fn revoked(record: MemberRecord, reason: &str) -> MemberRecord {
    MemberRecord {
        revoked: true,
        reason: reason.to_owned(),
        ..record
    }
}

fn chain(issued: &Issued) -> Vec<CertificateDer<'static>> {
    certificates_from_pem(issued.certificate_pem.as_bytes(), "issued").expect("a chain")
}

fn agent(authority: &Authority, cluster: &str) -> Vec<CertificateDer<'static>> {
    let issued = authority.issue_member(cluster, Component::Agent, &[]);
    chain(&issued.expect("issued"))
}

fn trust(records: Vec<MemberRecord>) -> MemberTrust {
    let trust = MemberTrust::new();
    let update = trust.set(records);
    assert!(update.unusable.is_empty(), "{update:?}");
    trust
}

fn judged(trust: &MemberTrust, chain: &[CertificateDer<'_>]) -> Result<String, Distrust> {
    trust.judge_client(chain, UnixTime::now())
}

fn not_vouched(outcome: Result<String, Distrust>) -> CertificateError {
    match outcome {
        Err(Distrust::NotVouched {
            why: rustls::Error::InvalidCertificate(why),
            ..
        }) => why,
        other => panic!("not the refusal that was expected: {other:?}"),
    }
}

#[test]
fn a_member_is_who_its_own_authority_says() {
    let (a, b) = (authority("a"), authority("b"));
    let trust = trust(vec![member("a", &[&a]), member("b", &[&b])]);
    assert_eq!(judged(&trust, &agent(&a, "a")), Ok("a".to_owned()));
    assert_eq!(judged(&trust, &agent(&b, "b")), Ok("b".to_owned()));
    assert_eq!(trust.counts(), (2, 0));
    // The name alone is nothing, and the chain alone is nothing.
    let forged = not_vouched(judged(&trust, &agent(&a, "b")));
    assert_eq!(forged, CertificateError::UnknownIssuer);
    let nobody = a
        .issue_client("maria", &["system:masters"])
        .expect("issued");
    assert_eq!(judged(&trust, &chain(&nobody)), Err(Distrust::NoCluster));
    let stranger = Distrust::NotMember {
        cluster: "c".to_owned(),
    };
    assert_eq!(judged(&trust, &agent(&a, "c")), Err(stranger));
    assert_eq!(judged(&trust, &[]), Err(Distrust::NoCertificate));
    let rubbish = CertificateDer::from(vec![1, 2, 3]);
    assert_eq!(judged(&trust, &[rubbish]), Err(Distrust::Unreadable));
}

/// Either name could otherwise be used where the other one has been looked at.
#[test]
fn a_certificate_with_two_clusters_names_none() {
    let a = authority("a");
    let trust = trust(vec![member("a", &[&a]), member("b", &[&authority("b")])]);
    let both = a.issue_client("x", &["helium:cluster:a", "helium:cluster:b"]);
    let common = a.issue_client("helium:agent:b", &["helium:cluster:a"]);
    for issued in [both, common] {
        let refused = judged(&trust, &chain(&issued.expect("issued")));
        assert_eq!(refused, Err(Distrust::Ambiguous));
    }
    let empty = a.issue_client("x", &["helium:cluster:"]).expect("issued");
    assert_eq!(judged(&trust, &chain(&empty)), Err(Distrust::NoCluster));
}

#[test]
fn a_fleet_is_open_until_a_member_lists_an_authority() {
    let trust = MemberTrust::new();
    assert!(trust.is_open());
    assert!(trust.set([member("a", &[])]).changed.eq(&false) && trust.is_open());
    let a = authority("a");
    assert!(trust.set([member("a", &[&a])]).changed && !trust.is_open());
    assert!(!trust.set([member("a", &[&a]), member("b", &[])]).changed);
    let b = Err(Distrust::NotMember {
        cluster: "b".to_owned(),
    });
    assert_eq!(judged(&trust, &agent(&a, "b")), b);
    // Rubbish closes the fleet as well: it must not open a door for everybody.
    let broken = MemberRecord {
        authorities: "no PEM at all".to_owned(),
        ..member("a", &[])
    };
    let update = trust.set([broken]);
    assert!(update.changed && !trust.is_open());
    assert_eq!(update.unusable.len(), 1);
    assert!(update.unusable[0].1.to_string().contains("the member a"));
    assert!(judged(&trust, &agent(&a, "a")).is_err());
    assert_eq!(trust.counts(), (0, 0));
}

#[test]
fn a_bundle_may_hold_the_old_and_the_new_authority() {
    let (old, new) = (authority("a"), authority("a"));
    let trust = trust(vec![member("a", &[&old, &new])]);
    assert_eq!(judged(&trust, &agent(&old, "a")), Ok("a".to_owned()));
    assert_eq!(judged(&trust, &agent(&new, "a")), Ok("a".to_owned()));
    assert!(trust.set([member("a", &[&new])]).changed);
    not_vouched(judged(&trust, &agent(&old, "a")));
    assert_eq!(judged(&trust, &agent(&new, "a")), Ok("a".to_owned()));
}

#[test]
fn a_revoked_member_is_refused_with_the_reason_until_it_is_let_in_again() {
    let (a, b) = (authority("a"), authority("b"));
    let trust = trust(vec![
        revoked(member("a", &[&a]), "stolen laptop"),
        member("b", &[&b]),
    ]);
    let refused = judged(&trust, &agent(&a, "a")).expect_err("revoked");
    assert_eq!(refused.to_string(), "cluster a was revoked: stolen laptop");
    assert_eq!(
        rustls::Error::from(refused),
        CertificateError::Revoked.into()
    );
    assert_eq!(judged(&trust, &agent(&b, "b")), Ok("b".to_owned()));
    assert_eq!(trust.counts(), (1, 1));
    assert!(!trust.is_open());
    trust.set([member("a", &[&a]), member("b", &[&b])]);
    assert_eq!(judged(&trust, &agent(&a, "a")), Ok("a".to_owned()));
    // The last member's revocation doesn't open the fleet.
    trust.set([revoked(member("a", &[&a]), "")]);
    assert!(!trust.is_open());
    assert!(judged(&trust, &agent(&b, "b")).is_err());
}

/// The API server refuses a second owner of an authority. Should one be there all the same, the
/// name decides, and whoever was revoked doesn't come back under another one's.
#[test]
fn an_authority_of_two_members_speaks_for_both_until_one_is_revoked() {
    let shared = authority("shared");
    let own = authority("b");
    let both = vec![member("a", &[&shared]), member("b", &[&shared, &own])];
    let trust = trust(both);
    for cluster in ["a", "b"] {
        let outcome = judged(&trust, &agent(&shared, cluster));
        assert_eq!(outcome, Ok(cluster.to_owned()));
    }
    trust.set([
        revoked(member("a", &[&shared]), "gone bad"),
        member("b", &[&shared, &own]),
    ]);
    not_vouched(judged(&trust, &agent(&shared, "b")));
    assert_eq!(judged(&trust, &agent(&own, "b")), Ok("b".to_owned()));
}

#[test]
fn times_are_checked() {
    let a = authority("a");
    let trust = trust(vec![member("a", &[&a])]);
    let chain = agent(&a, "a");
    let at = |offset: i64| {
        let now = UnixTime::now().as_secs().checked_add_signed(offset);
        UnixTime::since_unix_epoch(Duration::from_secs(now.expect("a time")))
    };
    let year = 366 * 24 * 60 * 60;
    let expired = not_vouched(trust.judge_client(&chain, at(year)));
    assert!(
        matches!(
            expired,
            CertificateError::Expired | CertificateError::ExpiredContext { .. }
        ),
        "{expired:?}"
    );
    let early = not_vouched(trust.judge_client(&chain, at(-year)));
    assert!(
        matches!(
            early,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
        ),
        "{early:?}"
    );
}

/// A member's authority may have signed a lesser one, as cluster tools do.
#[test]
fn an_intermediate_authority_is_followed_up_to_the_members_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, key_file) = (folder.path().join("ca.crt"), folder.path().join("ca.key"));
    let root = authority("a");
    root.save(&file, &key_file).expect("saved");
    let root_key = std::fs::read_to_string(&key_file).expect("a key");
    let root_key = KeyPair::from_pem(&root_key).expect("a key");
    let signer = Issuer::from_ca_cert_pem(root.certificate_pem(), root_key).expect("an issuer");
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "lesser");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let lesser_key = KeyPair::generate().expect("a key");
    let lesser = parameters.signed_by(&lesser_key, &signer).expect("signed");
    std::fs::write(&file, lesser.pem()).expect("written");
    std::fs::write(&key_file, lesser_key.serialize_pem()).expect("written");
    let lesser = Authority::load_or_new("lesser", &file, &key_file).expect("loaded");
    let trust = trust(vec![member("a", &[&root]), member("b", &[&authority("b")])]);
    let mut whole = agent(&lesser, "a");
    not_vouched(judged(&trust, &whole));
    whole
        .extend(certificates_from_pem(lesser.certificate_pem().as_bytes(), "lesser").expect("one"));
    assert_eq!(judged(&trust, &whole), Ok("a".to_owned()));
    whole[0] = agent(&lesser, "b").remove(0);
    not_vouched(judged(&trust, &whole));
}

#[test]
fn servers_are_judged_by_their_address_too_and_clients_need_a_certificate_for_dialling() {
    let a = authority("a");
    let trust = Arc::new(trust(vec![member("a", &[&a])]));
    let both = a.issue_member("a", Component::KineShim, &["shim.a", "127.0.0.1"]);
    let both = chain(&both.expect("issued"));
    let server = |chain: &[CertificateDer<'_>], name: &'static str| {
        let name = ServerName::try_from(name).expect("a name");
        trust.judge_server(chain, &name, UnixTime::now())
    };
    assert_eq!(server(&both, "shim.a"), Ok("a".to_owned()));
    assert_eq!(server(&both, "127.0.0.1"), Ok("a".to_owned()));
    assert_eq!(judged(&trust, &both), Ok("a".to_owned()));
    not_vouched(server(&both, "shim.b"));
    not_vouched(server(&agent(&a, "a"), "shim.a"));
    let plain = a.issue_server("shim", &["shim.a"]).expect("issued");
    assert_eq!(
        server(&chain(&plain), "shim.a"),
        Err(Distrust::NoCluster),
        "whose it is must be in its name"
    );
}
