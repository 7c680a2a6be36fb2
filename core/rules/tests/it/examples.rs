//! The rules and scripts that come with the product say what their tests say.

use std::path::Path;

use sereno_rules::trial::{Options, run};

#[test]
fn what_is_shipped_passes_its_own_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let report = run(&[root.join("config/examples"), root.join("scripts")], &Options::default());
    let told = crate::trial::all(&report);
    assert!(report.is_good(), "{told}");
    assert!(report.tests().count() >= 15, "{told}");
}
