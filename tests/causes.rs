//! The whole table of causes: ids are unique, every example is explained by its cause, no near miss is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use why502::engine::causes::{all, by_id};
use why502::explain::{Options, run};
use why502::read::formats::Reader;

/// Ids of the causes that lead for these lines, read from a file as `why502 explain` reads it.
fn leading(lines: &str) -> Vec<&'static str> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("case.log");
    std::fs::write(&path, lines).expect("a file");
    let options = Options { files: vec![path.display().to_string()], ..Options::default() };
    let mut found = Vec::new();
    let totals = run(&options, &Reader::default(), |explained| found.push(explained.verdict.cause.id));
    assert!(totals.problems.is_empty(), "{:?}", totals.problems);
    found
}

#[test]
fn every_example_is_explained_by_its_cause() {
    let wrong: Vec<String> = all()
        .iter()
        .map(|cause| (cause.id, leading(cause.example)))
        .filter(|(id, found)| !found.contains(id))
        .map(|(id, found)| format!("{id}: {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_near_miss_is() {
    let wrong: Vec<String> = all()
        .iter()
        .map(|cause| (cause.id, leading(cause.near_miss)))
        .filter(|(id, found)| found.contains(id))
        .map(|(id, found)| format!("{id}: {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_is_whole() {
    let ids: BTreeSet<&str> = all().iter().map(|cause| cause.id).collect();
    assert_eq!(ids.len(), all().len(), "ids are unique");
    // The names are a contract with everybody who has a dashboard.
    let contract = "gunicorn_not_running master_killed upstream_address_mismatch socket_permission_denied security_policy_denied \
        host_unreachable network_unreachable connect_timeout dns_failure no_live_upstreams listen_backlog_full workers_saturated \
        ephemeral_ports_exhausted nginx_files_exhausted nginx_connections_exhausted gunicorn_files_exhausted worker_timeout worker_killed \
        worker_oom_killed worker_crashed worker_exited worker_died upstream_closed_early gunicorn_restarting worker_boot_failed app_load_failed bind_failed \
        arbiter_crashed worker_recycled reuse_port_recycled nginx_answered keepalive_race response_header_too_big response_header_invalid not_http_upstream \
        request_body_unread tls_to_plain_port plain_to_tls_port tls_handshake_failed tls_certificate_rejected app_returned_error \
        slow_request response_truncated client_closed_request unknown";
    assert_eq!(ids, contract.split_whitespace().collect());
    for cause in all() {
        assert!(by_id(cause.id).is_some_and(|found| std::ptr::eq(found, *cause)));
        assert!(!cause.summary.is_empty() && !cause.facts.is_empty() && !cause.links.is_empty(), "{}", cause.id);
        assert!(cause.links.iter().all(|link| link.starts_with("https://")), "{}", cause.id);
        assert!(
            !cause.hint.contains("{}") && cause.hint.ends_with('.'),
            "{}: a hint is whole sentences without values",
            cause.id
        );
    }
}

/// All sources under a folder, but for what stands below `#[cfg(test)]`.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            found.push((path, code));
        }
    }
}

#[test]
fn a_cause_is_one_file_and_one_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 100, "the sources are there");
    for cause in all() {
        let own = root.join(format!("engine/causes/{}.rs", cause.id));
        let quoted = format!("\"{}\"", cause.id);
        let named: Vec<&PathBuf> =
            files.iter().filter(|(_, code)| code.contains(&quoted)).map(|(path, _)| path).collect();
        // Symptoms have names of their own, some of them the same; `unknown` is what is said where no cause claims a case.
        let elsewhere: Vec<&&PathBuf> = named
            .iter()
            .filter(|path| ***path != own && !path.ends_with("read/evidence.rs") && cause.id != "unknown")
            .collect();
        assert!(named.contains(&&own), "{} has a file of its own", cause.id);
        assert!(elsewhere.is_empty(), "{}: {elsewhere:?} know it by name; say it in a field of its own row", cause.id);
        let (_, table) = files.iter().find(|(path, _)| path.ends_with("engine/causes.rs")).expect("the table");
        assert_eq!(table.lines().filter(|line| line.trim() == cause.id).count(), 1, "one line in the table");
    }
}
