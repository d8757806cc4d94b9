//! SECURITY.md: each claim names the test that shows it, and each of these is there.

use super::root;
use std::fs;
use std::path::Path;

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
            all.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_test_that_it_names_is_there() {
    let text = fs::read_to_string(root().join("SECURITY.md")).expect("the document");
    let mut all = String::new();
    sources(&root().join("src"), &mut all);
    sources(&root().join("tests"), &mut all);
    let quoted = text.split('`').skip(1).step_by(2);
    let names: Vec<&str> = quoted.filter(|name| name.matches('_').count() > 1 && !name.contains("::")).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let is_there = [format!("fn {name}("), format!("def {name}(")].iter().any(|words| all.contains(words));
        assert!(is_there, "`{name}` is no test");
    }
    let claims = text.lines().filter(|line| line.starts_with("- cannot")).count();
    let shown = text.split("\n- ").filter(|claim| claim.starts_with("cannot") && claim.contains('`')).count();
    assert_eq!(claims, shown, "a claim without its test");
}
