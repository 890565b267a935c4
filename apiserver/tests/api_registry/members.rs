//! Members and join tokens: who may write what, through which cluster.

use std::time::Duration;

use helium_tls::pki::Authority;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::store::TestStore;
use crate::support::{Client, MERGE, TestServer};

pub(crate) const MEMBERS: &str = "/apis/helium.dev/v1/members";
const TOKENS: &str = "/apis/helium.dev/v1/jointokens";

pub(crate) fn member(name: &str, authority: Option<&Authority>) -> Value {
    let mut object = json!({
        "apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": name}, "spec": {},
    });
    if let Some(authority) = authority {
        object["spec"]["certificateAuthorities"] = authority.certificate_pem().into();
    }
    object
}

pub(crate) fn authority(name: &str) -> Authority {
    Authority::new(name).expect("an authority")
}

/// Two clusters that are members with authorities of their own.
pub(crate) async fn two_members(store: &TestStore) -> [TestServer; 2] {
    let one = TestServer::start(store, "c1").await;
    let two = TestServer::start(store, "c2").await;
    let client = one.client();
    client
        .post(MEMBERS, &member("c1", Some(&authority("one"))))
        .await
        .ok();
    client
        .post(MEMBERS, &member("c2", Some(&authority("two"))))
        .await
        .ok();
    [one, two]
}

pub(crate) async fn patch_member(
    client: &Client,
    name: &str,
    patch: &Value,
) -> crate::support::Reply {
    client
        .patch(&format!("{MEMBERS}/{name}"), MERGE, patch)
        .await
}

#[tokio::test]
async fn only_a_cluster_itself_changes_its_authorities_labels_and_status() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    let next = authority("next");
    let rotated = json!({"spec": {"certificateAuthorities": next.certificate_pem()}});
    let message = patch_member(&one.client(), "c2", &rotated)
        .await
        .fails(422, "Invalid");
    assert!(
        message.contains("only cluster c2 itself changes its authorities"),
        "{message}"
    );
    patch_member(&two.client(), "c2", &rotated).await.ok();

    let labels = json!({"metadata": {"labels": {"region": "eu"}}});
    let message = patch_member(&one.client(), "c2", &labels)
        .await
        .fails(422, "Invalid");
    assert!(message.contains("metadata.labels"), "{message}");
    patch_member(&two.client(), "c2", &labels).await.ok();

    let url = format!("{MEMBERS}/c2/status");
    let conditions = |ready: &str, stored: &str| {
        json!({"status": {"conditions": [
            {"type": "Ready", "status": ready}, {"type": "StoreReachable", "status": stored},
        ]}})
    };
    let well = conditions("True", "True");
    one.client()
        .patch(&url, MERGE, &well)
        .await
        .fails(422, "Invalid");
    two.client().patch(&url, MERGE, &well).await.ok();
    let missed = conditions("Unknown", "True");
    one.client().patch(&url, MERGE, &missed).await.ok();
    let more = conditions("Unknown", "False");
    one.client()
        .patch(&url, MERGE, &more)
        .await
        .fails(422, "Invalid");
    let list = one.client().get(MEMBERS).await.ok();
    let found = &list["items"][1];
    assert_eq!(
        found["metadata"]["finalizers"],
        json!(["helium.dev/member-cleanup"])
    );
    assert_eq!(found["metadata"]["labels"]["region"], "eu");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn two_clusters_that_list_one_authority_at_once_dont_both_succeed() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    for round in 0..8 {
        let shared = authority("shared");
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (first, second) = (member(&a, Some(&shared)), member(&b, Some(&shared)));
        let (clients, other) = (one.client(), two.client());
        let (x, y) = tokio::join!(clients.post(MEMBERS, &first), other.post(MEMBERS, &second));
        let codes = [x.code, y.code];
        assert_eq!(
            codes.iter().filter(|code| **code == 201).count(),
            1,
            "{codes:?}"
        );
        // One that saw the other says so; one that was overtaken is told to try again, and then sees it.
        let loser = if x.code == 201 { y } else { x };
        assert!([409, 422].contains(&loser.code), "{}", loser.body);
        let (client, lost) = if codes[0] == 201 {
            (other, second)
        } else {
            (clients, first)
        };
        let message = client.post(MEMBERS, &lost).await.fails(422, "Invalid");
        assert!(
            message.contains("the authority CN=shared is member"),
            "{message}"
        );
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_is_no_authority_or_a_secret_is_refused_and_not_repeated() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    let leaf = authority("three")
        .issue_client("leaf", &[])
        .expect("a certificate");
    let cases = [
        (
            "nonsense".to_owned(),
            "is not a list of certificates in PEM",
        ),
        (
            leaf.certificate_pem,
            "certificate 1 (CN=leaf) is no authority",
        ),
        (leaf.key_pem.clone(), "holds a private key"),
    ];
    for (pem, wanted) in cases {
        let mut object = member("c3", None);
        object["spec"]["certificateAuthorities"] = pem.into();
        let reply = one.client().post(MEMBERS, &object).await;
        let whole = reply.body.to_string();
        let message = reply.fails(422, "Invalid");
        assert!(message.contains(wanted), "{message}");
        assert!(
            !whole.contains(leaf.key_pem.lines().nth(1).expect("a line")),
            "{whole}"
        );
    }
    one.client()
        .post(MEMBERS, &member("c.3", None))
        .await
        .fails(422, "Invalid");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn the_first_authority_doesnt_shut_the_writer_out() {
    let store = TestStore::start().await;
    let one = TestServer::start(&store, "c1").await;
    let other = member("c2", Some(&authority("two")));
    let message = one
        .client()
        .post(MEMBERS, &other)
        .await
        .fails(422, "Invalid");
    assert!(
        message.contains("shut out everybody else, cluster c1 included"),
        "{message}"
    );
    // Without authorities nobody is shut out.
    one.client().post(MEMBERS, &member("c2", None)).await.ok();
    one.stop().await;
}

#[tokio::test]
async fn a_token_is_short_lived_and_never_changes() {
    let store = TestStore::start().await;
    let one = TestServer::start(&store, "c1").await;
    let client = one.client();
    let token = |name: &str, hours: u64| {
        let expires = Timestamp::now() + Duration::from_secs(hours * 3600);
        json!({
            "apiVersion": "helium.dev/v1", "kind": "JoinToken", "metadata": {"name": name},
            "spec": {
                "cluster": "c4",
                "secretHash": format!("sha256:{}", "0".repeat(64)),
                "expirationTime": expires.to_string(),
            },
        })
    };
    let message = client
        .post(TOKENS, &token("abc123", 25))
        .await
        .fails(422, "Invalid");
    assert!(
        message.contains("more than 24 hours ahead: this server's clock says"),
        "{message}"
    );
    client
        .post(TOKENS, &token("abc-12", 1))
        .await
        .fails(422, "Invalid");
    client.post(TOKENS, &token("abc123", 1)).await.ok();
    let url = format!("{TOKENS}/abc123");
    let longer = json!({"spec": {"expirationTime": "2026-01-01T00:00:00Z"}});
    let message = client
        .patch(&url, MERGE, &longer)
        .await
        .fails(422, "Invalid");
    assert!(message.contains("a token is never changed"), "{message}");
    let used = json!({"status": {"usedTime": "2026-01-01T00:00:00Z"}});
    let status = format!("{url}/status");
    client.patch(&status, MERGE, &used).await.ok();
    let unused = json!({"status": {"usedTime": null}});
    client
        .patch(&status, MERGE, &unused)
        .await
        .fails(422, "Invalid");
    one.stop().await;
}
