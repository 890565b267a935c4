//! The page about the checks, `docs/doctor.md`, names all of them.

#[test]
fn every_check_has_a_section_in_the_page() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/doctor.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor/checks");
    let mut checks = std::collections::BTreeSet::new();
    for file in std::fs::read_dir(sources).expect("a folder") {
        let path = file.expect("a file").path();
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).expect("a source");
        for line in text.lines() {
            if line.contains("const ") && line.contains(": &str = \"") && line.ends_with("\";") {
                let name = line.split('"').nth(1).unwrap_or_default();
                if !name.contains(' ') && !name.starts_with("--") {
                    checks.insert(name.to_owned());
                }
            }
        }
    }
    checks.extend(["kube-apiserver", "clock"].map(str::to_owned));
    assert!(checks.len() > 12, "{checks:?}");
    for check in checks {
        assert!(
            page.contains(&format!("\n## {check}\n")),
            "docs/doctor.md has no section {check}"
        );
    }
}
