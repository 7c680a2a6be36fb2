//! The published `.proto` and the code say the same: what the compiler makes of it is what is committed. After a change
//! of the `.proto`, `SERENO_BLESS=1 cargo test -p sereno-protocol --test proto` writes the code anew.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "the source is no data of the server's")]
fn the_code_is_what_the_proto_says() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = here.join("src/v2/messages.rs");
    let descriptors = protox::compile(["sereno.v2.proto"], [here.join("proto")]).unwrap();
    let out = tempfile::tempdir().unwrap();
    prost_build::Config::new().out_dir(out.path()).compile_fds(descriptors).unwrap();
    let generated = std::fs::read_to_string(out.path().join("sereno.v2.rs")).unwrap();
    if std::env::var_os("SERENO_BLESS").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let present = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        present == generated,
        "src/v2/messages.rs is not what proto/sereno.v2.proto says; see above how to renew it"
    );
}
