//! The committed Rust is what the `.proto` files say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Reads every file of a folder whose name ends in `extension`.
fn files(folder: &Path, extension: &str) -> BTreeMap<String, String> {
    fs::read_dir(folder)
        .expect("folder is readable")
        .map(|entry| entry.expect("entry is readable").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == extension))
        .map(|path| {
            let name = path
                .file_name()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).expect("file is readable");
            (name, text)
        })
        .collect()
}

#[test]
fn generated_code_matches_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("proto");
    let committed = root.join("src/generated");
    let fresh = tempfile::tempdir().expect("a temporary folder");

    let descriptors = protox::compile(files(&proto, "proto").keys(), [&proto])
        .expect("the proto files are valid");
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .build_transport(true)
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(fresh.path())
        .compile_fds(descriptors)
        .expect("code generation succeeds");

    let expected = files(fresh.path(), "rs");
    if std::env::var_os("UPDATE_PROTO").is_some_and(|value| value == "1") {
        fs::create_dir_all(&committed).expect("folder for generated code");
        for (name, text) in &expected {
            fs::write(committed.join(name), text).expect("generated code is writable");
        }
    }
    let actual = files(&committed, "rs");
    assert_eq!(
        actual.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "a package was added or removed: run this test with UPDATE_PROTO=1"
    );
    for (name, text) in expected {
        assert!(
            actual[&name] == text,
            "src/generated/{name} is out of date: run this test with UPDATE_PROTO=1"
        );
    }
}
