//! What `why502 explain` says of a few lines.

use std::sync::Arc;
use why502::engine::verdict::Verdict;
use why502::explain::{Options, run};
use why502::read::formats::Reader;
use why502::read::nginx_conf::NginxConf;

/// What each verdict on these files says, in their order.
pub(crate) fn of<T>(files: &[(&str, &str)], each: impl FnMut(&Verdict) -> T) -> Vec<T> {
    told(None, files, each)
}

/// The same with nginx's configuration at hand.
pub(crate) fn with_nginx_conf<T>(conf: &str, files: &[(&str, &str)], each: impl FnMut(&Verdict) -> T) -> Vec<T> {
    let conf = NginxConf::read("nginx.conf", conf, &mut |_| Ok(Vec::new()));
    assert_eq!(conf.mistakes, []);
    told(Some(conf), files, each)
}

fn told<T>(conf: Option<NginxConf>, files: &[(&str, &str)], mut each: impl FnMut(&Verdict) -> T) -> Vec<T> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = Options { nginx: conf.map(Arc::new), ..Options::default() };
    for (name, lines) in files {
        let path = directory.path().join(name);
        std::fs::write(&path, lines).expect("a file");
        options.files.push(path.display().to_string());
    }
    let mut found = Vec::new();
    let totals = run(&options, &Reader::default(), |explained| found.push(each(explained.verdict)));
    assert!(totals.problems.is_empty(), "{:?}", totals.problems);
    found
}

/// The target, and the cause that leads.
pub(crate) fn target_and_cause(verdict: &Verdict) -> String {
    format!("{} {}", verdict.target, verdict.cause.id).trim().to_owned()
}
