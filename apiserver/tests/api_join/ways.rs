//! The ways to a cluster's server: its own endpoint, the cluster's kube-apiserver in front of it, and the control plane's
//! proxy behind either. What a cluster may write, and whose write it is, doesn't depend on the way.

use helium_testkit::wait_for;
use http::Method;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Member};
use crate::store::BOUND;
use crate::support::{Answer, Client, request};

const PROXY: &str = "/apis/helium.dev/v1/controlplanes/fleet/proxy";
const ORIGIN: &str = "helium.dev/origin-cluster";
const DEFINITIONS: &str = "/apis/helium.dev/v1/sharedresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

type Headers = Vec<(&'static str, &'static str)>;

struct Way {
    name: &'static str,
    client: Client,
    /// What stands before each path.
    base: &'static str,
    headers: Headers,
}

fn ways(member: &Member) -> [Way; 4] {
    let way = |name, forwarded: bool, base| {
        let proxy = || member.client_with(&member.pki.front_proxy("front-proxy-client"));
        Way {
            name,
            client: if forwarded {
                proxy()
            } else {
                member.client.clone()
            },
            base,
            headers: forwarded
                .then_some(("X-Remote-User", "jane"))
                .into_iter()
                .collect(),
        }
    };
    [
        way("direct", false, ""),
        way("direct, behind the proxy", false, PROXY),
        way("forwarded", true, ""),
        way("forwarded, behind the proxy", true, PROXY),
    ]
}

fn widgets() -> Value {
    json!({
        "apiVersion": "helium.dev/v1", "kind": "SharedResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {"color": {"type": "string"}}}},
            }}}],
        },
    })
}

fn widget(name: &str) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": name, "annotations": {ORIGIN: "c9"}}, "spec": {"color": "red"},
    })
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    headers: &[(&'static str, &'static str)],
    body: &Value,
) -> Answer {
    let mut headers = headers.to_vec();
    if method == Method::PATCH {
        headers.push(("content-type", "application/merge-patch+json"));
    }
    client
        .send(request(method, path, &headers, body.to_string()))
        .await
}

async fn wait_served(member: &Member) {
    wait_for("widgets are served", BOUND, || async {
        member.get(WIDGETS).await.code == 200
    })
    .await;
}

#[tokio::test]
async fn no_way_forges_an_origin_or_gets_around_the_policy_of_writers() {
    let fleet = Fleet::start_open().await;
    let other = fleet.another("c2").await;
    fleet.post(DEFINITIONS, &widgets()).await;
    wait_served(&fleet.server).await;
    wait_served(&other).await;
    for (
        at,
        Way {
            name: way,
            client,
            base,
            headers,
        },
    ) in ways(&other).into_iter().enumerate()
    {
        let name = format!("w{at}");
        let path = format!("{base}{WIDGETS}");
        let made = send(&client, Method::POST, &path, &headers, &widget(&name)).await;
        assert_eq!(made.code, 201, "{way}: {}", made.text());
        assert_eq!(
            made.json()["metadata"]["annotations"][ORIGIN],
            "c2",
            "{way}"
        );
        let path = format!("{path}/{name}");
        let patch = json!({"metadata": {"annotations": {ORIGIN: "c9"}}, "spec": {"color": "blue"}});
        let patched = send(&client, Method::PATCH, &path, &headers, &patch).await;
        assert_eq!(
            patched.json()["metadata"]["annotations"][ORIGIN],
            "c2",
            "{way}"
        );
    }

    let policy = json!({"spec": {"sharing": {"clusters": {"writers": [
        {"clusters": ["c1"], "namespaces": ["*"]},
    ]}}}});
    let definition = format!("{DEFINITIONS}/widgets.example.com");
    fleet.patch(&definition, &policy).await;
    let probe = widget("probe");
    wait_for("the policy holds", BOUND, || async {
        send(&other.client, Method::POST, WIDGETS, &[], &probe)
            .await
            .code
            != 201
    })
    .await;
    // The same definition, as Kubernetes calls it: changing it there leaves alone who may write.
    let crd = format!(
        "{PROXY}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
    );
    fleet
        .patch(
            &crd,
            &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"names": {"shortNames": ["wd"]}}}),
        )
        .await;
    let kept = fleet.get(&definition).await.json();
    assert_eq!(
        kept["spec"]["sharing"]["clusters"],
        policy["spec"]["sharing"]["clusters"]
    );
    wait_served(&other).await;
    for Way {
        name: way,
        client,
        base,
        headers,
    } in ways(&other)
    {
        let path = format!("{base}{WIDGETS}/w0");
        for (method, body) in [
            (Method::PATCH, json!({"spec": {"color": "black"}})),
            (Method::DELETE, json!({})),
        ] {
            let answer = send(&client, method, &path, &headers, &body).await;
            assert_eq!(answer.code, 403, "{way}: {}", answer.text());
            assert!(
                answer.text().contains("only through c1"),
                "{way}: {}",
                answer.text()
            );
        }
    }
    let untouched = fleet.get(&format!("{WIDGETS}/w0")).await.json();
    assert_eq!(untouched["spec"]["color"], "blue");
    other.stop().await;
    fleet.stop().await;
}
