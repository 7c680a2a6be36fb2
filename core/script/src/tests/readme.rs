//! The script API is documented as a whole, and nothing is documented that is not there.

use super::*;
use crate::engine;
use crate::reference::testing::told_and_there;

#[test]
fn the_readme_lists_what_there_is() {
    let (told, there) = told_and_there(&engine::build(&Limits::default()));
    let missing: Vec<_> = there.difference(&told).collect();
    let invented: Vec<_> = told.difference(&there).collect();
    assert!(there.len() > 100, "{there:?}");
    assert_eq!((missing, invented), (vec![], vec![]), "(not in scripts/README.md, not in the engine)");
}

#[test]
fn the_reference_says_of_each_function_what_it_gives() {
    let docs = Library::function_reference();
    let find = |signature: &str| docs.iter().find(|doc| doc.signature == signature).expect(signature);
    let quantile = find("w.quantile(q)");
    assert_eq!((quantile.receiver.as_deref(), quantile.name.as_str()), (Some("Window"), "quantile"));
    assert_eq!(quantile.section, "The window w");
    assert!(quantile.doc.starts_with("the value below which the share `q`"), "{}", quantile.doc);
    let ours = docs.iter().filter(|doc| doc.section != "Of the language");
    for doc in ours {
        assert!(!doc.doc.is_empty() && !doc.section.is_empty(), "{doc:?}");
    }
    let sqrt = docs.iter().find(|doc| doc.name == "sqrt").expect("sqrt");
    assert_eq!(sqrt.section, "Of the language");
    assert!(!sqrt.doc.is_empty(), "{sqrt:?}");
    assert!(docs.iter().all(|doc| !["sleep", "eval", "timestamp"].contains(&doc.name.as_str())));
    let mut keys: Vec<_> = docs.iter().map(|doc| (&doc.receiver, &doc.signature)).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all, "each is told once");
}

/// The README's own examples are scripts that load.
#[test]
fn the_examples_of_the_readme_load() {
    let readme = include_str!("../../../../scripts/README.md");
    let examples: Vec<&str> =
        readme.split("```rhai\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let path = if example.contains("fn aggregate") { "aggregations/x.rhai" } else { "rules/x.rhai" };
        assert_eq!(findings(path, example), Vec::<String>::new(), "{example}");
    }
}
