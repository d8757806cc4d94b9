//! What `why502 explain` says of a few lines.

use std::sync::Arc;
use why502::engine::verdict::Verdict;
use why502::explain::{Options, run};
use why502::read::formats::Reader;
use why502::read::nginx_conf::NginxConf;

/// What each verdict on these files says, in their order.
pub(crate) fn of<T>(files: &[(&str, &str)], each: impl FnMut(&Verdict) -> T) -> Vec<T> {
    told(None, files, "", each)
}

/// The same with spans, as OTLP JSON.
pub(crate) fn with_traces<T>(traces: &str, files: &[(&str, &str)], each: impl FnMut(&Verdict) -> T) -> Vec<T> {
    told(None, files, traces, each)
}

/// The same with nginx's configuration at hand.
pub(crate) fn with_nginx_conf<T>(conf: &str, files: &[(&str, &str)], each: impl FnMut(&Verdict) -> T) -> Vec<T> {
    let conf = NginxConf::read("nginx.conf", conf, &mut |_| Ok(Vec::new()));
    assert_eq!(conf.mistakes, []);
    told(Some(conf), files, "", each)
}

fn told<T>(conf: Option<NginxConf>, files: &[(&str, &str)], traces: &str, each: impl FnMut(&Verdict) -> T) -> Vec<T> {
    let conf = conf.map(Arc::new);
    let alone = run_on(conf.as_ref(), files, traces, &[]);
    let stranger = beside(files);
    if !stranger.is_empty() {
        let beside = run_on(conf.as_ref(), files, traces, &stranger);
        let shown = |verdicts: &[Verdict]| -> Vec<String> {
            verdicts
                .iter()
                .map(|verdict| format!("{} {} {:.3}", verdict.target, verdict.cause.id, verdict.confidence))
                .collect()
        };
        assert_eq!(shown(&beside), shown(&alone), "beside a second service that must not matter\n{files:#?}");
    }
    alone.iter().map(each).collect()
}

/// The verdicts on the files of one service, with those of a second one in a folder beside it.
fn run_on(
    conf: Option<&Arc<NginxConf>>,
    files: &[(&str, &str)],
    traces: &str,
    stranger: &[(String, String)],
) -> Vec<Verdict> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = Options { nginx: conf.cloned(), ..Options::default() };
    let mut write = |folder: &str, name: &str, lines: &str| {
        let path = directory.path().join(folder).join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, lines).expect("a file");
        options.files.push(path.display().to_string());
    };
    files.iter().for_each(|(name, lines)| write("shop", name, lines));
    stranger.iter().for_each(|(name, lines)| write("billing", name, lines));
    if !traces.is_empty() {
        let path = directory.path().join("traces.json");
        std::fs::write(&path, traces).expect("a file");
        options.traces.push(path.display().to_string());
    }
    let mut found = Vec::new();
    let totals = run(&options, &Reader::default(), |explained| {
        let verdict = explained.verdict;
        let of_stranger = |ticket| explained.places.get(ticket).is_some_and(|place| place.file.contains("billing"));
        if !verdict.records.iter().any(|(_, ticket)| of_stranger(*ticket)) {
            found.push(verdict.clone());
        }
    });
    assert!(totals.problems.is_empty(), "{:?}", totals.problems);
    found
}

/// Files of a second service that fails in every way at the times of these stories, with the same pid and connections. None
/// where nothing of an nginx is among the files: then nobody can tell that a folder is a service.
fn beside(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let file_of = |word: &str| files.iter().find(|(name, _)| *name == word).map(|(name, _)| (*name).to_owned());
    let (access, error) = (file_of("access.log"), file_of("error.log"));
    let mut of_stranger = Vec::new();
    let (mut access_lines, mut error_lines, mut gunicorn) = (String::new(), String::new(), String::new());
    for second in 0..20 {
        let clock = format!("09:15:{second:02}");
        access_lines.push_str(&format!(
            "198.51.100.20 - - [04/Mar/2026:{clock} +0000] \"GET /invoice/{second} HTTP/1.1\" 502 157 \"-\" \"curl/8\"\n\
             198.51.100.20 - - [04/Mar/2026:{clock} +0000] \"GET /healthy HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n"
        ));
        error_lines.push_str(&format!(
            "2026/03/04 {clock} [error] 411#411: *{second} upstream prematurely closed connection while reading response \
             header from upstream, client: 198.51.100.20, server: billing.test, request: \"GET /invoice/{second} HTTP/1.1\", \
             upstream: \"http://127.0.0.1:8000/invoice/{second}\", host: \"billing.test\"\n"
        ));
        let worker = 9_000 + second;
        gunicorn.push_str(&format!(
            "[2026-03-04 {clock} +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:{worker})\n\
             [2026-03-04 {clock} +0000] [300] [ERROR] Worker (pid:{worker}) was sent SIGKILL! Perhaps out of memory?\n"
        ));
    }
    of_stranger.extend(access.map(|name| (name, access_lines)));
    of_stranger.extend(error.map(|name| (name, error_lines)));
    if !of_stranger.is_empty() {
        let listening = "[2026-03-04 09:14:00 +0000] [300] [INFO] Listening at: http://127.0.0.1:8000 (300)\n";
        of_stranger.push(("gunicorn.log".to_owned(), listening.to_owned() + &gunicorn));
    }
    of_stranger
}

/// The target, and the cause that leads.
pub(crate) fn target_and_cause(verdict: &Verdict) -> String {
    format!("{} {}", verdict.target, verdict.cause.id).trim().to_owned()
}

/// The rule that leads.
pub(crate) fn rule(verdict: &Verdict) -> &'static str {
    verdict.considered.first().map_or("", |leading| leading.rule)
}

/// What is said of these lines: symptom and cause of each verdict.
pub(crate) fn symptoms_and_causes(lines: &str) -> String {
    of(&[("pasted.log", lines)], |verdict| format!("{} {}", verdict.symptom.id(), verdict.cause.id)).join("\n")
}

pub(crate) fn check(lines: &str, expected: &str) {
    assert_eq!(symptoms_and_causes(lines), expected, "\n{lines}");
}

/// Each cause that is named for these lines, none of nginx's among them, with `?` behind one that is hardly believed.
pub(crate) fn named(lines: &str) -> Vec<String> {
    of(&[("pasted.log", lines)], |verdict| {
        format!("{}{}", verdict.cause.id, if verdict.confidence < 0.6 { "?" } else { "" })
    })
}

/// An error line with this message and action.
pub(crate) fn error(message: &str, action: &str) -> String {
    format!(
        r#"2026/03/04 09:15:02 [error] 411#972: *7 {message} while {action}, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://10.1.2.3:8000/cart", host: "shop.test""#
    )
}
