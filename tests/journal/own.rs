//! What why502 makes itself and a kill must not take: revised verdicts, incidents.

use super::*;

/// Records of why502's own that a backend took: what each is of, with its uid, revision and state.
fn own_records(backend: &Backend) -> Vec<[String; 4]> {
    let taken = backend.seen().into_iter().filter(|seen| seen.taken && seen.path.to_ascii_lowercase().contains("logs"));
    let mut own = Vec::new();
    for record in taken.flat_map(|seen| requests::records(&seen.message())) {
        if !record.event_name.starts_with("why502.") {
            continue;
        }
        let attribute = |key| requests::attribute_of(&record.attributes, key);
        let (uid, state) = match record.event_name.as_str() {
            "why502.verdict" => (attribute("why502.request.uid"), attribute("why502.cause")),
            _ => (attribute("why502.incident.uid"), attribute("why502.incident.state")),
        };
        own.push([record.event_name.clone(), uid, attribute("why502.revision"), state]);
    }
    own
}

fn of_kind(own: &[[String; 4]], event: &str) -> Vec<[String; 4]> {
    let mut of_kind: Vec<[String; 4]> = own.iter().filter(|[name, ..]| name == event).cloned().collect();
    of_kind.sort();
    of_kind
}

#[tokio::test]
async fn revised_verdicts_and_incidents_are_made_again_with_the_same_uids_for_who_lacks_them() {
    let (down, alive) = (Backend::always(Reply::http(503)).await, Backend::start(Vec::new()).await);
    let place = Place::new("400ms", &[kept("otlphttp/down", &down), kept("otlphttp/alive", &alive)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let gunicorn = |words: &str| format!("[2026-03-04 09:15:03 +0000] [300] {words}");
    let [access, error] = requests::refused_by_upstream(7, "/a");
    let refused = "connect() failed (111: Connection refused) while connecting to upstream";
    let cut = "upstream prematurely closed connection while reading response header from upstream";
    for lines in [
        vec![gunicorn("[INFO] Starting gunicorn 23.0.0"), gunicorn("[INFO] Booting worker with pid: 301")],
        vec![access, error.replace(refused, cut)],
        vec![gunicorn("[ERROR] Worker (pid:301) was sent SIGKILL! Perhaps out of memory?")],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        send(grpc, Signal::Logs, &requests::logs(&lines)).await;
    }
    eventually("the first verdict", || of_kind(&own_records(&alive), "why502.verdict").len() == 1).await;
    // Late: the records of the request are gone, and its verdict is revised.
    let killed_by = "Mar  4 09:15:03 h kernel: Out of memory: Killed process 301 (gunicorn) total-vm:1kB, anon-rss:1kB";
    send(grpc, Signal::Logs, &requests::logs(&[killed_by])).await;
    eventually("the revised one", || of_kind(&own_records(&alive), "why502.verdict").len() == 2).await;
    let verdicts = of_kind(&own_records(&alive), "why502.verdict");
    let [first, second] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(first[1] == second[1] && first[3] == "worker_killed" && second[3] == "worker_oom_killed", "{verdicts:?}");
    let incident = of_kind(&own_records(&alive), "why502.incident");
    let is_opened = |told: &[[String; 4]]| told.iter().filter(|[.., state]| state == "opened").count() == 1;
    assert!(is_opened(&incident), "{incident:?}");
    // What is delivered is written down twice a second.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    killed(&mut program).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(own_records(&down), Vec::<[String; 4]>::new());
    down.recover();
    let mut program = place.run();
    program.addresses().await;
    eventually("the other one gets both", || of_kind(&own_records(&down), "why502.verdict").len() >= 2).await;
    assert_eq!(of_kind(&own_records(&down), "why502.verdict"), verdicts);
    assert!(is_opened(&of_kind(&own_records(&down), "why502.incident")), "and is told that it opened");
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    assert_eq!(of_kind(&own_records(&alive), "why502.verdict"), verdicts, "it had both");
    for incidents in [own_records(&down), own_records(&alive)] {
        let uids: BTreeSet<String> =
            of_kind(&incidents, "why502.incident").into_iter().map(|[_, uid, ..]| uid).collect();
        assert_eq!(uids, [incident[0][1].clone()].into(), "one incident, whoever tells of it");
    }
}

/// Of an incident that is open when the program is killed the next start tells that it closed.
#[tokio::test]
async fn an_incident_that_a_kill_left_open_is_told_to_have_closed() {
    let backend = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &backend)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let [access, error] = requests::refused_by_upstream(7, "/a");
    send(grpc, Signal::Logs, &requests::logs(&[&access, &error])).await;
    let incidents = || of_kind(&own_records(&backend), "why502.incident");
    let states = || incidents().into_iter().map(|[.., state]| state).collect::<Vec<String>>();
    eventually("it opened", || states() == ["opened"]).await;
    // Past what a start shows to the engine again.
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    killed(&mut program).await;
    let mut program = place.run();
    eventually("it closed", || states() == ["closed", "opened"]).await;
    let uids: BTreeSet<String> = incidents().into_iter().map(|[_, uid, ..]| uid).collect();
    assert_eq!(uids.len(), 1, "{uids:?}");
    killed(&mut program).await;
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    send(grpc, Signal::Logs, &requests::logs(&["later"])).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(
        states().iter().all(|state| ["closed", "opened"].contains(&state.as_str())) && states().len() <= 3,
        "{:?}",
        states()
    );
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
}

/// An incident closes with the program, when all lines behind it have long been delivered.
#[tokio::test]
async fn what_nothing_undelivered_leads_to_is_in_the_journal_by_itself() {
    let backend = Backend::start(Vec::new()).await;
    let place = Place::new("100ms", &[kept("otlphttp/out", &backend)]);
    let mut program = place.run();
    let (grpc, _) = program.addresses().await;
    let [access, error] = requests::refused_by_upstream(7, "/a");
    send(grpc, Signal::Logs, &requests::logs(&[&access, &error])).await;
    let states = || of_kind(&own_records(&backend), "why502.incident").into_iter().map(|[.., state]| state);
    eventually("it opened", || states().any(|state| state == "opened")).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    backend.answer(Reply::http(503));
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let said = program.stderr();
    assert!(said.contains("1 requests stay in the journal"), "{said}");
    assert!(!states().any(|state| state == "closed"));
    backend.recover();
    let mut program = place.run();
    eventually("it is told that it closed", || states().any(|state| state == "closed")).await;
    program.signal("TERM");
    program.ended().await;
    assert!(!program.stderr().contains("stay in the journal"), "{}", program.stderr());
    let incidents = of_kind(&own_records(&backend), "why502.incident");
    assert_eq!(incidents.iter().map(|[_, uid, ..]| uid).collect::<BTreeSet<_>>().len(), 1, "{incidents:?}");
    let opened = incidents.iter().filter(|[.., state]| state == "opened").count();
    assert_eq!(opened, 1, "it had that: {incidents:?}");
}
