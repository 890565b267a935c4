//! Tokens and clusters, case by case.

use helium_tls::pki::Authority;

use super::*;

const SECRET: &str = "abcdefghijklmnopqrstuvwx";

fn request(cluster: &str, authorities: &str) -> Request {
    let body = json!({
        "token": format!("abc123.{SECRET}"), "cluster": cluster, "certificateAuthorities": authorities,
    });
    Request::parse(body.to_string().as_bytes()).unwrap_or_else(|status| panic!("{status}"))
}

fn token() -> Object {
    let object = json!({
        "metadata": {"name": "abc123"},
        "spec": {
            "cluster": "c4", "secretHash": hash(SECRET), "expirationTime": "2026-01-01T12:15:00Z",
        },
    });
    Object::try_from(object).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn member(name: &str, authority: &Authority) -> Object {
    let object = json!({
        "metadata": {"name": name}, "spec": {"certificateAuthorities": authority.certificate_pem()},
    });
    Object::try_from(object).unwrap()
}

#[track_caller]
fn fails<T>(outcome: Result<T, Status>, code: u16, texts: &[&str]) {
    let Err(status) = outcome else {
        panic!("not refused");
    };
    assert_eq!(status.code(), code, "{}", status.message());
    for text in texts {
        assert!(status.message().contains(text), "{}", status.message());
    }
}

#[test]
fn the_hash_is_that_of_the_secrets_text() {
    let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash("abc"), known);
}

#[test]
fn a_request_that_cant_be_understood_says_what_to_send() {
    fails(
        Request::parse(b"nonsense"),
        400,
        &["certificateAuthorities"],
    );
    let body = |token: &str, cluster: &str| {
        json!({"token": token, "cluster": cluster, "certificateAuthorities": ""}).to_string()
    };
    let good = format!("abc123.{SECRET}");
    fails(
        Request::parse(body(&good, "C4").as_bytes()),
        422,
        &["cluster: Invalid value"],
    );
    for wrong in [
        "",
        "abc123",
        "abc123.",
        "abc12.abcdefghijklmnopqrstuvwx",
        "abc123.ABCDEFGHIJKLMNOPQRSTUVWX",
    ] {
        let outcome = Request::parse(body(wrong, "c4").as_bytes());
        fails(outcome, 401, &["unknown or its secret wrong"]);
    }
}

#[test]
fn a_good_token_becomes_used() {
    let used = redeem(Some(&token()), &request("c4", ""), now()).unwrap();
    assert_eq!(
        used.get("status"),
        Some(&json!({"usedTime": "2026-01-01T12:00:00Z"}))
    );
}

#[test]
fn a_token_opens_once_for_one_cluster_and_until_it_expires() {
    let joining = request("c4", "");
    let unknown = redeem(None, &joining, now()).unwrap_err();
    let mut other = token();
    other.with_value_mut(|value| value["spec"]["secretHash"] = hash("other").into());
    let wrong = redeem(Some(&other), &joining, now()).unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.message()),
        (wrong.code(), wrong.message())
    );
    fails(
        redeem(Some(&token()), &request("c5", ""), now()),
        403,
        &["the token is for cluster \"c4\", and \"c5\" wants to join"],
    );
    let late = "2026-01-01T13:15:00Z".parse().unwrap();
    fails(
        redeem(Some(&token()), &joining, late),
        403,
        &[
            "expired at 2026-01-01T12:15:00Z",
            "clock says 2026-01-01T13:15:00Z",
            "helium token create --cluster c4",
        ],
    );
    let used = redeem(Some(&token()), &joining, now()).unwrap();
    fails(
        redeem(Some(&used), &joining, now()),
        403,
        &["was used at 2026-01-01T12:00:00Z, and opens once"],
    );
    let mut going = token();
    going.set_meta("deletionTimestamp", "2026-01-01T12:00:00Z");
    fails(redeem(Some(&going), &joining, now()), 401, &[]);
}

#[test]
fn names_and_authorities_are_taken_once() {
    let (one, two) = (
        Authority::new("one").unwrap(),
        Authority::new("two").unwrap(),
    );
    let roster = Roster::new([&member("c1", &one)], 7);
    check(&request("c4", two.certificate_pem()), &roster, "c1").unwrap();
    fails(
        check(&request("c1", two.certificate_pem()), &roster, "c1"),
        409,
        &["there is a member of that name", "helium leave --dead c1"],
    );
    fails(
        check(&request("c4", one.certificate_pem()), &roster, "c1"),
        409,
        &["the authority CN=one is member c1's already"],
    );
    fails(
        check(&request("c4", "PEM"), &roster, "c1"),
        422,
        &[
            "certificateAuthorities: Invalid value",
            "not a list of certificates",
        ],
    );
    fails(
        check(
            &request("c4", two.certificate_pem()),
            &Roster::new([], 7),
            "c1",
        ),
        409,
        &[
            "would shut out everybody else, cluster c1 included",
            "helium init",
        ],
    );
}

#[test]
fn who_joins_learns_whom_to_trust() {
    let [one, two, three] = ["one", "two", "three"].map(|name| Authority::new(name).unwrap());
    let mut shut_out = member("c2", &two);
    shut_out.with_value_mut(|value| value["spec"]["revoked"] = true.into());
    let roster = Roster::new([&member("c5", &one), &shut_out], 7);
    let joined = member("c4", &three);
    let answer = answer(&joined, &roster);
    assert_eq!(answer["member"]["metadata"]["name"], "c4");
    assert_eq!(answer["clusters"], json!(["c4", "c5"]));
    assert_eq!(
        answer["trust"],
        json!([
            {"cluster": "c4", "certificateAuthorities": three.certificate_pem()},
            {"cluster": "c5", "certificateAuthorities": one.certificate_pem()},
        ])
    );
}
