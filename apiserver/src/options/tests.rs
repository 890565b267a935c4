use super::*;

fn parse(flags: &[&str]) -> Result<Options, clap::Error> {
    Options::try_parse_from(std::iter::once("helium-apiserver").chain(flags.iter().copied()))
}

const REQUIRED: [&str; 2] = ["--cluster-name=c1", "--etcd-servers=http://127.0.0.1:2379"];

fn with(flags: &[&str]) -> Options {
    let all: Vec<&str> = REQUIRED.iter().chain(flags).copied().collect();
    parse(&all).expect("accepted")
}

fn refusal(flags: &[&str]) -> String {
    let all: Vec<&str> = REQUIRED.iter().chain(flags).copied().collect();
    parse(&all).expect_err("refused").to_string()
}

#[test]
fn a_manifest_for_another_aggregated_server_works() {
    let options = with(&[
        "--secure-port=8443",
        "--tls-cert-file=a.crt",
        "--tls-private-key-file=a.key",
        "--requestheader-client-ca-file=fp.crt",
        "--requestheader-allowed-names=front-proxy-client,other",
        "--requestheader-username-headers=X-Remote-User",
        "--authentication-skip-lookup",
        "--authentication-tolerate-lookup-failure=false",
        "--kubeconfig=general",
        "--authorization-kubeconfig=special",
        "--authorization-webhook-cache-authorized-ttl=1m30s",
        "--audit-log-path=-",
        "--feature-gates=WatchList=true",
        "--profiling=false",
        "--v=4",
    ]);
    assert_eq!(
        options.ignored(),
        ["audit-log-path", "feature-gates", "profiling"]
    );
    assert_eq!(options.log_settings().filter, "info,helium_apiserver=debug");
    let config = options.into_config().expect("complete");
    assert_eq!(config.listen.to_string(), "0.0.0.0:8443");
    let authentication = config.authentication;
    assert!(authentication.skip_lookup && !authentication.tolerate_lookup_failure);
    assert!(authentication.anonymous);
    assert_eq!(
        authentication.kubeconfig,
        Kubeconfig::File("general".into())
    );
    let header = authentication.request_header.expect("configured");
    assert_eq!(header.allowed_names, ["front-proxy-client", "other"]);
    assert_eq!(header.extra_header_prefixes, ["x-remote-extra-"]);
    assert!(
        header.uid_headers.is_empty(),
        "uids are trusted only when named"
    );
    let Authorization::Delegated {
        kubeconfig,
        allowed_ttl,
        always_allow_paths,
        ..
    } = config.authorization
    else {
        panic!("not delegated");
    };
    assert_eq!(kubeconfig, Kubeconfig::File("special".into()));
    assert_eq!(allowed_ttl, Duration::from_secs(90));
    assert_eq!(always_allow_paths, ["/healthz", "/readyz", "/livez"]);
}

#[test]
fn what_is_wrong_is_refused_with_what_to_write() {
    assert!(refusal(&["--no-such-flag"]).contains("--no-such-flag"));
    assert!(refusal(&["--request-timeout=5"]).contains("such as 10s"));
    assert!(refusal(&["--tls-cert-file=a.crt"]).contains("--tls-private-key-file"));
    assert!(refusal(&["--log-format=xml"]).contains("plain or json"));
    let missing = parse(&[]).expect_err("refused").to_string();
    assert!(
        missing.contains("--cluster-name") && missing.contains("--etcd-servers"),
        "{missing}"
    );
    for name in ["", "Upper", "-x", "x-", "a.b", &"x".repeat(64)] {
        let flag = format!("--cluster-name={name}");
        let error = parse(&[&flag, REQUIRED[1]]).expect_err(name).to_string();
        assert!(error.contains("lower-case"), "{error}");
    }
    for endpoint in ["ftp://x", "http://", "http://x:99999"] {
        let flag = format!("--etcd-servers={endpoint}");
        parse(&[REQUIRED[0], &flag]).expect_err(endpoint);
    }
}

#[test]
fn several_endpoints_and_bare_hosts_are_understood() {
    let options = parse(&[REQUIRED[0], "--etcd-servers=https://a:2379,b:2379"]).expect("accepted");
    let servers: Vec<_> = options.store.etcd_servers.iter().map(Url::as_str).collect();
    assert_eq!(servers, ["https://a:2379/", "http://b:2379/"]);
}

#[test]
fn without_a_certificate_one_is_made_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let flag = format!("--cert-dir={}", directory.path().display());
    let first = with(&[&flag]).into_config().expect("made").tls.cert_file;
    let made = std::fs::read(&first).expect("readable");
    let second = with(&[&flag]).into_config().expect("found").tls.cert_file;
    assert_eq!(std::fs::read(second).expect("readable"), made);
}

#[test]
fn limits_of_lease_durations_are_whole_seconds_of_which_there_is_one() {
    use helium_apimachinery::lease::{DurationLimits, DurationPolicy};

    let given = ["--tls-cert-file=a.crt", "--tls-private-key-file=a.key"];
    let limits = |flags: &[&str]| {
        let all = [&given[..], flags].concat();
        with(&all)
            .into_config()
            .map(|config| config.rules.lease_durations)
    };
    assert_eq!(limits(&[]).expect("complete"), DurationLimits::default());
    let some = [
        "--lease-duration-min=1500ms",
        "--lease-duration-max=2m",
        "--lease-duration-policy=cap",
    ];
    assert_eq!(
        limits(&some).expect("complete"),
        DurationLimits {
            min: 2,
            max: 120,
            policy: DurationPolicy::Cap
        }
    );
    let error = limits(&["--lease-duration-min=2m", "--lease-duration-max=90s"]);
    let error = error.expect_err("refused").to_string();
    assert!(
        error.contains("--lease-duration-min 120s") && error.contains("--lease-duration-max 90s"),
        "{error}"
    );
    assert!(limits(&["--lease-duration-min=0", "--lease-duration-max=500ms"]).is_err());
    assert!(refusal(&["--lease-duration-policy=ignore"]).contains("refuse, cap"));
}

#[test]
fn the_help_lists_the_flags() {
    use clap::CommandFactory as _;
    let help = Options::command().term_width(100).render_help().to_string();
    insta::assert_snapshot!("help", help);
}
